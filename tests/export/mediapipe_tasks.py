"""MediaPipe's tasks in a process of its own: TASK MODEL... -- IMAGE... to JSON.

TASK is classify, embed or segment.

Its Python objects wait for a thread of theirs when they are collected, for ever if a graph has
failed or if it happens inside a call. So nothing is collected here, and the process ends at once.
"""

import gc
import json
import os
import sys

import mediapipe
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision


def classify(model, images):
    """Returns [{label: score}], or the line with which MediaPipe rejects the model."""
    options = vision.ImageClassifierOptions(tasks.BaseOptions(model_asset_path=model))
    try:
        classifier = vision.ImageClassifier.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        return str(error)
    alive.append(classifier)
    results = [classifier.classify(mediapipe.Image.create_from_file(one)) for one in images]
    return [
        {one.category_name: one.score for one in result.classifications[0].categories}
        for result in results
    ]


def embed(model, images):
    """Returns [[number]], or the line with which MediaPipe rejects the model."""
    options = vision.ImageEmbedderOptions(tasks.BaseOptions(model_asset_path=model))
    try:
        embedder = vision.ImageEmbedder.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        return str(error)
    alive.append(embedder)
    results = [embedder.embed(mediapipe.Image.create_from_file(one)) for one in images]
    return [result.embeddings[0].embedding.tolist() for result in results]


def segment(model, images):
    """Returns {"labels", "category_masks": [H, W], "confidence_masks": [classes, H, W]}."""
    options = vision.ImageSegmenterOptions(
        tasks.BaseOptions(model_asset_path=model), output_category_mask=True
    )
    try:
        segmenter = vision.ImageSegmenter.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        return str(error)
    alive.append(segmenter)
    results = [segmenter.segment(mediapipe.Image.create_from_file(one)) for one in images]
    alive.append(results)
    return {
        "labels": segmenter.labels,
        "category_masks": [one.category_mask.numpy_view().squeeze().tolist() for one in results],
        "confidence_masks": [
            [mask.numpy_view().squeeze().tolist() for mask in one.confidence_masks]
            for one in results
        ],
    }


if __name__ == "__main__":
    gc.disable()
    alive = []
    split = sys.argv.index("--")
    task, *models = sys.argv[1:split]
    run = {"classify": classify, "embed": embed, "segment": segment}[task]
    print(json.dumps({model: run(model, sys.argv[split + 1 :]) for model in models}), flush=True)
    os._exit(0)
