"""Accuracy of one classifier in every format that it is exported to."""

from pathlib import Path

import numpy as np

from benchmarks.job import relative_error
from keras_poolformer import export_saved_model, export_tflite
from keras_poolformer.evaluation.accuracy import measure_accuracy
from keras_poolformer.evaluation.opening import open_scorer
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.support.files import size_of

KERAS, SAVED_MODEL = "Keras", "SavedModel"
# int8_micro returns the same bytes as int8.
MEASURED = tuple(name for name, recipe in RECIPES.items() if not recipe.gelu_as_table)
BATCH = 250  # images


def file_of(recipe):
    """Returns the name of the format of a recipe's .tflite file."""
    return f"TFLite {recipe}"


FORMATS = (KERAS, SAVED_MODEL, *map(file_of, MEASURED))


def measure_formats(model, images, labels, calibration, folder, progress, formats=FORMATS):
    """Exports a classifier and classifies images in each format.

    Args:
        model: Classifier.
        images: uint8 images, none of them for training or calibration.
        labels: (N,). Class of each image.
        calibration: Images that the integer recipes choose their ranges by.
        folder: Folder to write the files to.
        progress: `Progress`, one of whose steps is each format.
        formats: Formats of `FORMATS`, Keras first.

    Returns:
        {format: size, accuracy, distance of the logits from Keras' and agreement with it}.
    """
    measured, expected = {}, None
    for name in formats:
        progress.start()
        scorer = open_scorer(source := _write(model, name, calibration, folder), num_workers=2)
        scores = []
        for start in range(0, len(images), BATCH):
            batch = np.stack([scorer.prepare(image) for image in images[start : start + BATCH]])
            scores.append(scorer.predict(batch))
            progress.advance(start, len(images))
        scores = np.concatenate(scores)
        expected = scores if expected is None else expected
        measured[name] = {
            "bytes": size_of(source),
            "error": relative_error(scores, expected),
            "agreement": 100 * float((scores.argmax(1) == expected.argmax(1)).mean()),
            **measure_accuracy(lambda x: x, [(scores, labels)]).to_dict(),
        }
    return measured


def _write(model, name, calibration, folder):
    """Writes one format; returns what it can be opened by."""
    path = Path(folder) / name.replace(" ", "_")
    if name == KERAS:
        model.save(path.with_suffix(".keras"))
        return path.with_suffix(".keras")
    if name == SAVED_MODEL:
        return export_saved_model(model, path)
    recipe = name.removeprefix(file_of(""))
    path = path.with_suffix(".tflite")
    return export_tflite(model, path, recipe=recipe, calibration=calibration).path
