"""Segmenters in the commands that export and measure files."""

import json

import pytest

from keras_poolformer.runtime import TFLiteSegmenter
from tests.export.segmenters import randomized
from tests.helpers import PHOTOS
from tests.segmenters import CONFIG, LABELS, PALETTE


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("segmenter") / "segmenter.keras"
    randomized(CONFIG.replace(labels=LABELS, palette=PALETTE)).save(path)
    return path


def test_export_and_benchmark(source, out, run):
    path = out / "m.tflite"
    status, printed, _ = run("export", source, "--size", 64, "-o", path)
    assert status == 0
    assert "ImageSegmenter opens it" in printed
    record = json.loads((out / "m.tflite.json").read_text(encoding="utf-8"))
    assert (record["task"], record["outputs"], record["inputs"]) == (
        "segmentation",
        "logits",
        "pixels",
    )
    segmenter = TFLiteSegmenter(path)
    assert (segmenter.input_shape, segmenter.labels) == ((64, 64, 3), LABELS)
    assert segmenter.segment(PHOTOS[0]).ndim == 2
    status, printed, _ = run("benchmark", path, "--runs", 1, "--threads", 1, "--json")
    assert status == 0
    assert json.loads(printed)["files"][0]["partitions"] == 1


@pytest.mark.slow
def test_export_of_labels_and_of_a_saved_model(source, out, run):
    path = out / "m.tflite"
    arguments = ("--size", "64x96", "--outputs", "labels")
    status, printed, _ = run("export", source, *arguments, "-o", path)
    assert status == 0
    assert "needs --outputs logits or probabilities" in printed
    assert "other labels on photographs" in printed
    status, printed, _ = run("export", source, "--recipe", "saved_model", "-o", out / "saved")
    assert status == 0
    assert "logits, probabilities and labels" in printed


def test_sizes_that_do_not_halve(source, out, run):
    status, _, lines = run("export", source, "--size", "64x100", "-o", out / "m.tflite")
    assert status == 2
    assert "multiples of 32. Received: 64 x 100" in lines[-1]
    assert not list(out.iterdir())


def test_explain_says_that_it_is_for_classifiers(source, out, refusal):
    message = refusal("explain", source, PHOTOS[0], "-o", out / "a.png")
    assert message == f"{source} must be a classifier. Received: a segmenter"
