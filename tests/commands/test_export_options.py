"""`export` beyond its file: its record, --size, --labels, warnings, and two at once."""

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.evaluation.opening import open_scorer
from keras_poolformer.export import comparison, tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.description import read_description
from keras_poolformer.support.errors import InputError

LABELS = ("ant", "bee", "fly")


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8", newline="\n")
    return path


def record_of(path):
    return json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_record_has_the_files_checksum(files, run, out):
    path = out / "x.tflite"
    assert run("export", files / "tiny.keras", "-o", path, "--size", 32)[0] == 0
    record = record_of(path)
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["warnings"] == []


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="it computes the checksum")
def test_the_checksum_of_a_folder_is_what_sha256sum_says(tmp_path):
    for name in ("b.txt", "a/é c.bin", "a-b.txt"):
        path = tmp_path / "saved" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8", newline="\n")
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path / "saved", capture_output=True, text=True, check=True
    )
    assert comparison.checksum(tmp_path / "saved") == done.stdout.split()[0]


@pytest.mark.slow
def test_size_and_labels_go_into_the_file(files, run, out, labels, photographs):
    path = out / "x.tflite"
    arguments = ("--size", 96, "--labels", labels)
    assert run("export", files / "tiny.keras", "-o", path, *arguments)[0] == 0
    transform = ImageTransform(size=96)
    description = read_description(path)
    assert description.labels == LABELS
    assert description.transform == transform
    assert description.provenance["transform"] == transform.to_dict()
    assert record_of(path)["provenance"]["source"] == "tiny.pth.tar"
    model = PoolFormerImageClassifier.from_preset(files / "tiny.keras")
    logits = np.asarray(model(transform(photographs[:1])))
    received = TFLiteClassifier(path).predict(transform.pixels(photographs[:1]))
    assert np.abs(received - logits).max() <= 1e-4
    printed = run("predict", path, photographs[0], "--json")[1]
    ((top, *_),) = json.loads(printed).values()
    assert top["label"] == LABELS[int(logits.argmax())]
    printed = run("predict", files / "tiny.keras", photographs[0], "--json", *arguments)[1]
    ((other, *_),) = json.loads(printed).values()
    assert other["label"] == top["label"]
    assert other["probability"] == pytest.approx(top["probability"], abs=1e-4)


@pytest.mark.slow
def test_heights_and_widths(files, run, out):
    path = out / "x.tflite"
    assert run("export", files / "tiny.keras", "-o", path, "--size", "64x96")[0] == 0
    assert TFLiteClassifier(path).input_shape == (64, 96, 3)
    assert TFLiteClassifier(path).transform.output_shape == (64, 96)


@pytest.mark.parametrize("size", ["0", "-1", "64x", "x64", "64x0", "64X64", "6 4", "٦٤", "1e3"])
def test_sizes_that_are_none_are_refused(size, refusal, files, out):
    message = refusal("export", files / "tiny.keras", "-o", out / "x.tflite", f"--size={size}")
    assert "a number of pixels or HEIGHTxWIDTH, as in 256 or 192x320" in message


def test_what_does_not_fit_is_refused(refusal, files, out, labels, photographs):
    output = ("-o", out / "x.tflite")
    message = refusal("export", files / "tiny.keras", *output, "--size", 9999)
    assert "1 to 4096" in message
    message = refusal("predict", files / "tiny.tflite", photographs[0], "--size", 64)
    assert "takes images of 224 x 224 pixels only: --size is chosen when" in message
    labels.write_text("ant\n", encoding="utf-8", newline="\n")
    for command in (
        ("export", files / "tiny.keras", *output),
        ("predict", files / "tiny.keras", photographs[0]),
        ("predict", files / "tiny.tflite", photographs[0]),
    ):
        assert "must name all 3 classes" in refusal(*command, "--labels", labels)
    message = refusal("export", files / "tiny.keras", *output, "--labels", out / "none.txt")
    assert "no such file" in message
    message = refusal(
        "export", files / "tiny.keras", *output, "--recipe", "int8_micro", "--inputs", "normalized",
        "--calibration", out,
    )  # fmt: skip
    assert "takes --inputs pixels" in message


def test_evaluate_has_both_too(files, labels, photographs):
    scorer = open_scorer(files / "tiny.keras", size=(64, 96), labels=labels)
    assert scorer.prepare(photographs[0]).shape == (64, 96, 3)
    assert scorer.labels == LABELS
    assert open_scorer(files / "tiny.tflite", labels=labels).labels == LABELS
    with pytest.raises(InputError, match="224 x 224 pixels only"):
        open_scorer(files / "tiny.tflite", size=64)


def test_labels_of_a_tflite_file_for_predict(files, run, labels, photographs):
    plain = run("predict", files / "tiny.tflite", photographs[0], "--json")[1]
    named = run("predict", files / "tiny.tflite", photographs[0], "--json", "--labels", labels)[1]
    ((first, *_),), ((other, *_),) = (json.loads(one).values() for one in (plain, named))
    assert other == {**first, "label": LABELS[int(first["label"])]}


@pytest.mark.slow
@pytest.mark.parametrize("error", [0.6, float("nan"), float("inf")])
def test_a_large_error_warns(files, run, out, monkeypatch, error):
    monkeypatch.setattr(tflite, "compare", lambda *_: {"photographs": error, "calibration": 0.1})
    path = out / "x.tflite"
    status, _, lines = run("export", files / "tiny.keras", "-o", path, "--size", 32)
    assert (status, len(lines)) == (0, 1)
    assert f"warning: {path}: the outputs are far from the model's on photographs" in lines[0]
    record = record_of(path)
    assert record["warnings"] == [lines[0].partition(f"{path}: ")[2]]
    assert record["error"] == (0.6 if error == 0.6 else None)


@pytest.mark.slow
def test_of_two_exports_the_later_one_writes_nothing(files, run, out, monkeypatch):
    """The other one ends while this one compares its file with the model."""
    path, first = out / "x.tflite", out / "first.tflite"
    compare = tflite.compare

    def compare_slowly(*arguments):
        monkeypatch.setattr(tflite, "compare", compare)
        assert main(["export", f"{files}/tiny.keras", "-o", f"{path}", "--size", "64"]) == 0
        shutil.copy(path, first)
        return compare(*arguments)

    monkeypatch.setattr(tflite, "compare", compare_slowly)
    status, _, lines = run("export", files / "tiny.keras", "-o", path, "--size", 32)
    assert status == 2 and "exists already" in lines[-1]
    assert path.read_bytes() == first.read_bytes()
    record = record_of(path)
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["provenance"]["transform"]["size"] == 64
    first.unlink()
    assert sorted(one.name for one in out.iterdir()) == ["x.tflite", "x.tflite.json"]
