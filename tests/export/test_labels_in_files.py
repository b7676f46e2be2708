"""Class names in exported files: as many as classes, one to a line, the same for every reader."""

import zipfile

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    export_saved_model,
    export_tflite,
)
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.description import read_description
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError

PHOTO = ASSETS / "photos" / "chelsea.jpg"
LABELS = ("caf\u00e9 au lait", "a\u3000b\u00a0c", "\ufeffbyte order mark")


@pytest.fixture(scope="module")
def model(tiny_config):
    transform = ImageTransform(size=32, crop_pct=1.0)
    return PoolFormerImageClassifier(tiny_config, {"transform": transform.to_dict()})


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "m.tflite"
    export_tflite(model, path, labels=np.array(LABELS))
    return path


@pytest.mark.parametrize("export", [export_tflite, export_saved_model])
@pytest.mark.parametrize(
    "labels", [["a", "b"], list("abcd"), [], "abc", ["a", "b", "c\u2028d"], ["a", "b", "\x0b"]]
)
def test_labels_that_would_get_out_of_step_are_refused(export, labels, model, tmp_path):
    with pytest.raises(InputError, match="`labels` must"):
        export(model, tmp_path / "m.tflite", labels=labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_reader_has_the_same_names(path, model, tmp_path):
    classifier = TFLiteClassifier(path)
    assert classifier.labels == LABELS
    assert {label for label, _ in classifier.classify(PHOTO)} == set(LABELS)
    export_saved_model(model, tmp_path / "m", labels=LABELS)
    description = read_description(tmp_path / "m")
    assert description is not None and description.labels == LABELS
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split("\n") == [*LABELS, ""]


def with_labels(path, copy, text):
    """A copy of an exported file with another labels.txt."""
    data = path.read_bytes()
    copy.write_bytes(data[: data.index(b"PK\x03\x04")])
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "a") as new:
        new.writestr("keras_poolformer.json", old.read("keras_poolformer.json"))
        new.writestr("labels.txt", text)
    return copy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\n", r"must have a label for each of its 3 classes. Received: 2 labels"),
        ("a\nb\nc\nd\n", r"must have a label for each of its 3 classes. Received: 4 labels"),
        ("a\x0bb\nc\n", r"labels.txt must be one line of"),
        ("a\n\nc\n", r"labels.txt must be one line of"),
        ("a\rb\nc\n", r"labels.txt must be one line of"),
        (b"\xff\n", r"its description is"),
    ],
)
def test_a_file_with_other_labels_is_not_opened(text, message, path, tmp_path):
    with pytest.raises(InputError, match=message):
        TFLiteClassifier(with_labels(path, tmp_path / "m.tflite", text))


@pytest.mark.parametrize("text", ["a\nb\nc", "a\r\nb\r\nc\r\n"])
def test_lines_end_as_any_editor_ends_them(text, path, tmp_path):
    copy = with_labels(path, tmp_path / "m.tflite", text)
    assert TFLiteClassifier(copy).labels == ("a", "b", "c")
