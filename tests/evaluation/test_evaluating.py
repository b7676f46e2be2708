"""`evaluate` in Python: a model, a preset or a file, on arrays as on files."""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerImageClassifier, evaluate
from tests.helpers import CIFAR10_PHOTOS, PRESET, error_line


@pytest.fixture(scope="module")
def model():
    return PoolFormerImageClassifier.from_preset(PRESET)


@pytest.fixture(scope="module")
def data(model):
    """(images, class numbers) of the shipped CIFAR-10 images."""
    names = [photo.stem.rpartition("_")[2] for photo in CIFAR10_PHOTOS]
    return pixels(), np.array([model.config.labels.index(name) for name in names])


def pixels():
    return [np.asarray(Image.open(photo).convert("RGB")) for photo in CIFAR10_PHOTOS]


@pytest.mark.slow
def test_a_model_on_arrays(model, data, tmp_path, capfd):
    images, classes = data
    logits = np.asarray(model(model.transform(images)))
    right = 100 * np.mean(logits.argmax(1) == classes)
    measured = evaluate(model, data, report=tmp_path / "report", verbose=False)
    assert measured.to_dict()["top1"] == pytest.approx(right)
    assert measured.to_dict()["images"] == len(images)
    assert (tmp_path / "report" / "mistakes.csv").exists() and len(repr(measured)) < 300
    assert "exists already" in error_line(evaluate, model, data, report=tmp_path / "report")
    assert capfd.readouterr().err == ""
    wrong = evaluate(model, (images, (classes + 1) % 10))
    wrongs = 100 * np.mean(logits.argmax(1) == (classes + 1) % 10)
    assert wrong.to_dict()["top1"] == pytest.approx(wrongs)
    assert "measuring on the images of data in memory" in capfd.readouterr().err


def test_what_does_not_fit_a_model(model, data):
    assert "`size` goes with the path" in error_line(evaluate, model, data, size=32)
    assert "must be a classifier or segmenter of" in error_line(evaluate, object(), data)
    masks = [np.zeros(image.shape[:2], np.uint8) for image in data[0]]
    assert "is measured on images with a class each" in error_line(
        evaluate, model, (data[0], masks), verbose=False
    )
