"""Exported segmenters, unedited, in MediaPipe Tasks' ImageSegmenter."""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.export.tflite import export_tflite
from keras_poolformer.runtime import TFLiteSegmenter
from tests.export.segmenters import TRANSFORM, randomized
from tests.helpers import PHOTOS
from tests.segmenters import CONFIG, LABELS, PALETTE

RECIPES = ("fp32", "fp16", "dynamic_int8", "int8")


@pytest.mark.slow
def test_logits_and_probabilities(tmp_path, mediapipe_tasks):
    """The classes' names, probabilities that add up to 1, and (nearly) the labels of LiteRT.

    MediaPipe interpolates probabilities where we interpolate logits, once, with OpenCV.
    """
    model = randomized(CONFIG.replace(labels=LABELS, palette=PALETTE))
    images = [tmp_path / f"{photo.stem}.png" for photo in PHOTOS[:3]]
    for path, pixels in zip(images, TRANSFORM.pixels(PHOTOS[:3]), strict=True):
        Image.fromarray(pixels).save(path)
    paths = []
    for outputs in ("logits", "probabilities"):
        for recipe in RECIPES:
            paths.append(tmp_path / f"{recipe} {outputs}.tflite")
            options = {"inputs": "pixels", "outputs": outputs, "transform": TRANSFORM}
            options["calibration"] = PHOTOS[:12] if recipe == "int8" else None
            export_tflite(model, paths[-1], recipe, **options)
    results = mediapipe_tasks("segment", paths, images)
    for path in paths:
        received = results[str(path)]
        assert received["labels"] == list(LABELS), path.name
        confidences = np.array(received["confidence_masks"])
        assert confidences.shape == (3, 5, 64, 96)
        assert np.abs(confidences.sum(1) - 1).max() <= (0.02 if "int8 prob" in path.name else 1e-5)
        expected = np.stack([TFLiteSegmenter(path).segment(image) for image in images])
        equal = np.mean(np.array(received["category_masks"]) == expected)
        print(f"{path.name}: {equal:.3f}")
        assert equal >= 0.9
        assert len(np.unique(expected)) > 2


@pytest.mark.slow
def test_labels_files_say_that_they_are_not_for_it(tmp_path):
    from tests.export.test_metadata import read_metadata

    model = randomized(CONFIG.replace(labels=LABELS))
    path = tmp_path / "m.tflite"
    export_tflite(model, path, inputs="pixels", outputs="labels", transform=TRANSFORM)
    [graph] = read_metadata(path)[1].subgraphMetadata
    assert b"MediaPipe's ImageSegmenter misreads it" in graph.outputTensorMetadata[0].description
    assert graph.customMetadata is None
