"""Exported files, unedited, in MediaPipe Tasks' ImageClassifier and ImageEmbedder."""

import functools

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.export.tflite import export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.scores import softmax
from tests.export.family import FAMILIES, TRANSFORM, family_model
from tests.helpers import PHOTOS

# Largest difference of a probability from Keras, on images of the model's classes; measured
# 1.2e-6, 1.1e-3, 1.7e-2 and, calibrated on these 24 images, 0.15 and 8.5e-2.
TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "dynamic_int8": 4e-2, "dynamic_int4": 0.3, "int8": 0.2}
CALIBRATED = ("dynamic_int4", "int8")
GREY = ImageTransform(size=64, crop_pct=1.0, mean=0.5, std=0.25)
SCORES = {"outputs": "probabilities"}
EXPORTS = {
    **{recipe: {"recipe": recipe, "inputs": "pixels", **SCORES} for recipe in TOLERANCES},
    "one mean and std": {"transform": GREY, **SCORES},
    "one for each channel": SCORES,
}
# A process of MediaPipe's starts for seconds: one classifies for several tests.
ASKED_TOGETHER = ("dynamic_int8", "one mean and std", "one for each channel")


def known(photos):
    """Those of the classes that the model knows."""
    return [photo for photo in photos if photo.name.startswith("cifar10")]


@pytest.fixture(scope="module")
def preset():
    return PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")


@pytest.fixture(scope="module")
def transform():
    return ImageTransform.from_preset("poolformer_tiny_cifar10")


@pytest.fixture(scope="module")
def exported(preset, tmp_path_factory):
    """exported(name): the path of one of `EXPORTS`."""
    folder = tmp_path_factory.mktemp("exported")

    def exported(name):
        path = folder / f"{name}.tflite"
        if not path.exists():
            calibration = known(PHOTOS) if name in CALIBRATED else None
            export_tflite(preset, path, calibration=calibration, **EXPORTS[name])
        return path

    return exported


@pytest.fixture(scope="module")
def prepared(transform, tmp_path_factory):
    """Files of the photographs, resized and cropped by our transform."""
    folder = tmp_path_factory.mktemp("prepared")
    paths = [folder / f"{photo.stem}.png" for photo in PHOTOS]
    for path, pixels in zip(paths, transform.pixels(PHOTOS), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture(scope="module")
def classified(exported, prepared, mediapipe_tasks):
    """classified(name): what MediaPipe says of each image, for an export; see `ASKED_TOGETHER`."""
    images = [*prepared, *known(PHOTOS)]

    @functools.cache
    def answers(*names):
        files = {name: exported(name) for name in names}
        results = mediapipe_tasks("classify", files.values(), images)
        return {name: results[str(file)] for name, file in files.items()}

    def classified(name):
        names = ASKED_TOGETHER if name in ASKED_TOGETHER else (name,)
        return answers(*names)[name]

    return classified


def probabilities(results, labels):
    """Of MediaPipe's results, as an array."""
    return np.array([[one[label] for label in labels] for one in results])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(TOLERANCES))
def test_probabilities_and_labels(preset, transform, exported, classified, recipe):
    results = classified(recipe)[: len(PHOTOS)]
    received = probabilities(results, preset.config.labels)
    on_litert = TFLiteClassifier(exported(recipe)).predict(transform.pixels(PHOTOS))
    assert np.abs(received - on_litert).max() <= 1e-6  # measured 0
    known_rows = [PHOTOS.index(photo) for photo in known(PHOTOS)]
    of_keras = softmax(preset.predict_on_batch(transform(PHOTOS)))
    difference = np.abs(received - of_keras)[known_rows].max()
    print(f"{recipe}: {difference:.2g}")
    assert difference <= TOLERANCES[recipe]
    assert (received.argmax(1) == of_keras.argmax(1))[known_rows].all()


@pytest.mark.slow
def test_one_mean_and_std_can_stay_outside(preset, classified):
    """MediaPipe normalizes by one mean and one std itself, and rejects one for each channel."""
    received = probabilities(classified("one mean and std")[: len(PHOTOS)], preset.config.labels)
    expected = softmax(preset.predict_on_batch(GREY(PHOTOS)))
    assert np.abs(received - expected).max() <= 1e-5  # measured 1.9e-6
    assert "Per-channel image normalization" in classified("one for each channel")


@pytest.mark.slow
def test_image_files(preset, transform, classified):
    """MediaPipe resizes them itself, otherwise than PIL."""
    photos = known(PHOTOS)
    received = probabilities(classified("dynamic_int8")[len(PHOTOS) :], preset.config.labels)
    expected = preset.predict_on_batch(transform(photos))
    assert (received.argmax(1) == expected.argmax(1)).all()


# Relative distance from Keras' embeddings, for images of the model's classes; measured 6e-7,
# 4.8e-4, 1.2e-2 and, calibrated on these 24 images, 5e-2 and 6.3e-2.
EMBEDDING_TOLERANCES = {
    "fp32": 4e-6, "fp16": 1e-3, "dynamic_int8": 4e-2, "dynamic_int4": 0.15, "int8": 0.15,
}  # fmt: skip


@pytest.mark.slow
def test_embeddings(preset, transform, tmp_path, mediapipe_tasks):
    """Of every recipe; its integers leave the file as uint8, as the embedder asks."""
    photos = known(PHOTOS)
    images = [tmp_path / f"{photo.stem}.png" for photo in photos]
    for path, pixels in zip(images, transform.pixels(photos), strict=True):
        Image.fromarray(pixels).save(path)
    paths = {name: tmp_path / f"{name}.tflite" for name in EMBEDDING_TOLERANCES}
    for recipe, path in paths.items():
        calibration = photos if recipe in CALIBRATED else None
        options = {"recipe": recipe, "inputs": "pixels", "outputs": "embedding"}
        export_tflite(preset, path, calibration=calibration, **options)
    results = mediapipe_tasks("embed", paths.values(), images)
    expected = np.asarray(preset.embed(transform(photos)))
    for recipe, path in paths.items():
        received = np.array(results[str(path)])
        on_litert = TFLiteClassifier(path).predict(transform.pixels(photos))
        assert np.abs(received - on_litert).max() <= 1e-6 * np.abs(on_litert).max()
        error = np.linalg.norm(received - expected) / np.linalg.norm(expected)
        print(f"{recipe}: {error:.2g}")
        assert error <= EMBEDDING_TOLERANCES[recipe]


@pytest.mark.slow
def test_the_family(tmp_path, mediapipe_tasks):
    """A network of each family, as pixels in and probabilities out."""
    labels = ("a", "b", "c", "d", "e")
    images = [tmp_path / f"{photo.stem}.png" for photo in PHOTOS[:4]]
    for path, pixels in zip(images, TRANSFORM.pixels(PHOTOS[:4]), strict=True):
        Image.fromarray(pixels).save(path)
    paths = {name: tmp_path / f"{name}.tflite" for name in FAMILIES}
    for name, path in paths.items():
        model = family_model(FAMILIES[name].replace(labels=labels))
        export_tflite(model, path, inputs="pixels", outputs="probabilities", transform=TRANSFORM)
    results = mediapipe_tasks("classify", paths.values(), images)
    for path in paths.values():
        received = probabilities(results[str(path)], labels)
        expected = TFLiteClassifier(path).predict(TRANSFORM.pixels(PHOTOS[:4]))
        assert np.abs(received - expected).max() <= 1e-6, path.name
        assert np.ptp(received, axis=0).max() > 0.01  # images differ
