"""What `predict` and `export` print, write and reject."""

import csv
import hashlib
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources.presets import CIFAR10_LABELS
from keras_poolformer.support.version import __version__
from tests.helpers import PRESET

# ---------------------------------------------------------------------------------------
# predict


def expected_probabilities(files, image):
    model = PoolFormerImageClassifier.from_preset(files / "tiny.keras")
    logits = np.asarray(model(ImageTransform()(image)[None]))[0].astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.first(2)
@pytest.mark.parametrize("name", ["tiny.keras", "tiny.tflite", "tiny.pth.tar"])
def test_predict_agrees_with_the_model(name, files, run, photographs):
    status, printed, lines = run("predict", files / name, *photographs[:2], "--json")
    assert (status, lines) == (0, [])
    rows = json.loads(printed)
    assert list(rows) == [str(photo) for photo in photographs[:2]]
    for photo in photographs[:2]:
        expected = expected_probabilities(files, photo)
        received = {row["label"]: row["probability"] for row in rows[str(photo)]}
        assert list(received) == [str(i) for i in np.argsort(-expected)]
        np.testing.assert_allclose([received[str(i)] for i in range(3)], expected, atol=1e-6)


@pytest.mark.slow
def test_predict_gives_the_classes_of_the_exported_source(exports, run, photographs):
    def predicted(source):
        status, printed, _ = run("predict", source, *photographs[:3], "--json")
        assert status == 0
        return json.loads(printed)

    expected = predicted(PRESET)
    for name in ("saved_model", "fp32.tflite"):
        received = predicted(exports / name)
        assert list(received) == [str(photo) for photo in photographs[:3]]
        for photo, top in expected.items():
            assert [row["label"] for row in received[photo]] == [row["label"] for row in top]
            for ours, theirs in zip(received[photo], top, strict=True):
                assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)


def test_predict_takes_files_and_folders_in_order(files, run, tmp_path, photographs):
    for name in ("b.PNG", "a.png", "c.webp"):
        Image.open(photographs[0]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8", newline="\n")
    status, printed, _ = run(
        "predict", files / "tiny.tflite", photographs[1], tmp_path, "--top-k", 2, "--json"
    )
    assert status == 0
    rows = json.loads(printed)
    assert [Path(name).name for name in rows] == [photographs[1].name, "a.png", "b.PNG", "c.webp"]
    assert all(len(top) == 2 for top in rows.values())


def test_predict_prints_the_same_as_csv(files, run, photographs):
    arguments = ("predict", files / "tiny.tflite", *photographs[:2])
    expected = json.loads(run(*arguments, "--json")[1])
    status, printed, _ = run(*arguments, "--csv")
    found = list(csv.DictReader(io.StringIO(printed)))
    assert status == 0 and printed.startswith("image,rank,label,probability\n")
    assert [(row["image"], row["label"], float(row["probability"])) for row in found] == [
        (image, row["label"], row["probability"]) for image, top in expected.items() for row in top
    ]
    assert [int(row["rank"]) for row in found] == [1, 2, 3, 1, 2, 3]
    assert run(*arguments, "--csv", "--json")[0] == 2


def test_predict_takes_patterns_and_standard_input(files, run, tmp_path, photographs, monkeypatch):
    for name in ("b/2.png", "a/1.png", "a/[x].png", "x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.open(photographs[0]).save(tmp_path / name)
    content = SimpleNamespace(buffer=io.BytesIO(photographs[1].read_bytes()))
    monkeypatch.setattr("sys.stdin", content)
    patterns = (tmp_path / "**" / "[12].png", "-", tmp_path / "a" / "[x].png")
    status, printed, _ = run("predict", files / "tiny.tflite", *patterns, "--json")
    rows = json.loads(printed)
    names = [Path(name).name for name in rows]
    assert status == 0 and names == ["1.png", "2.png", "stdin", "[x].png"]
    path = run("predict", files / "tiny.tflite", photographs[1], "--json")[1]
    assert rows["stdin"] == json.loads(path)[str(photographs[1])]


def test_predict_refuses_patterns_without_images(files, refusal, tmp_path):
    pattern = tmp_path / "*.png"
    message = refusal("predict", files / "tiny.tflite", pattern)
    assert message == f"{pattern} must be an image file or a folder. Received: no such file"
    assert "- can be given once" in refusal("predict", files / "tiny.tflite", "-", "-")


@pytest.fixture
def half_broken(tmp_path, photographs):
    """A folder with two images, a broken one, a hidden file and a text."""
    for name in ("a.png", "c.png"):
        Image.open(photographs[0]).resize((60, 40)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"oops")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8", newline="\n")
    return tmp_path


@pytest.mark.parametrize(("options", "expected"), [((), 1), (("--skip-broken",), 0)])
def test_predict_reports_broken_images_and_classifies_the_others(
    options, expected, files, run, half_broken
):
    status, printed, lines = run("predict", files / "tiny.tflite", half_broken, "--json", *options)
    assert status == expected
    assert [Path(name).name for name in json.loads(printed)] == ["a.png", "c.png"]
    left_out, broken = lines
    assert left_out.endswith("skipped 1 of 4 files (not an image by its suffix: notes.txt)")
    assert broken.startswith("skipped image ") and "b.png" in broken


def test_predict_refuses_what_is_broken_as_a_whole(files, refusal, half_broken):
    broken = half_broken / "b.png"
    assert "not an image" in refusal("predict", files / "tiny.tflite", broken, "--skip-broken")
    os.mkfifo(half_broken / "pipe.png")
    message = refusal("predict", files / "tiny.tflite", half_broken / "pipe.png")
    assert "not a regular file" in message


@pytest.mark.slow
def test_predict_prints_a_table_with_labels(run, photographs):
    status, printed, lines = run("predict", "poolformer_tiny_cifar10", photographs[0], "--top-k", 3)
    assert (status, lines) == (0, [])
    first, *rows = printed.splitlines()
    assert first == str(photographs[0]) and len(rows) == 3
    shares = [float(row.split()[0].rstrip("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert {row.split()[1] for row in rows} <= set(CIFAR10_LABELS)


def test_predict_says_which_image_is_missing(files, refusal, tmp_path, photographs):
    message = refusal("predict", files / "tiny.keras", photographs[0], tmp_path / "nosuch.png")
    assert "nosuch.png must be an image file or a folder" in message
    assert "holds no image files" in refusal("predict", files / "tiny.keras", tmp_path)


def test_predict_of_more_images_than_a_batch(files, run, tmp_path, photographs, monkeypatch):
    """Batches are made of the images that can be read, whatever lies between them."""
    for number in range(7):
        Image.open(photographs[number % 3]).resize((60, 40)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"oops")
    arguments = ("predict", files / "tiny.tflite", tmp_path, "--skip-broken", "--json")
    whole = run(*arguments)
    monkeypatch.setattr("keras_poolformer.commands.predict.BATCH_SIZE", 2)
    assert run(*arguments) == whole
    assert [Path(name).stem for name in json.loads(whole[1])] == list("012456")


def test_predict_refuses_files_that_are_no_models(files, refusal, tmp_path, photographs):
    (tmp_path / "x.tflite").write_text("no model", encoding="utf-8", newline="\n")
    assert "not a usable TFLite model" in refusal("predict", tmp_path / "x.tflite", photographs[0])
    assert "no such file" in refusal("predict", tmp_path / "y.tflite", photographs[0])
    data = (files / "tiny.tflite").read_bytes()
    (tmp_path / "x.tflite").write_bytes(data[: len(data) // 2])
    refusal("predict", tmp_path / "x.tflite", photographs[0])


# ---------------------------------------------------------------------------------------
# export


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--outputs", "probabilities"], "opens it"),
        ([], "opens it; --outputs probabilities gives better scores than logits"),
        (["--inputs", "normalized"], "needs --inputs pixels --outputs probabilities"),
    ],
)
def test_export_says_whether_mediapipe_opens_the_file(options, said, files, run, out):
    """tests/export/test_mediapipe.py shows that it is so."""
    status, printed, _ = run("export", files / "tiny.keras", "-o", out / "x.tflite", *options)
    assert status == 0
    (row,) = [line for line in printed.splitlines() if line.startswith("MediaPipe Tasks")]
    assert row.split(maxsplit=2)[2] == said


def test_export_reports_what_it_wrote(files, run, out):
    output = out / "x.tflite"
    options = ("--recipe", "dynamic_int8", "--inputs", "pixels", "--outputs", "probabilities")
    status, printed, lines = run("export", files / "tiny.keras", "-o", output, "--json", *options)
    assert (status, lines) == (0, [])
    report = json.loads(printed)
    assert report.keys() == {
        "path", "bytes", "recipe", "inputs", "outputs", "error", "errors", "provenance",
        "source_sha256", "operators", "partitions", "calibration_images", "skipped", "versions",
        "sha256", "warnings", "task",
    }  # fmt: skip
    assert (report["path"], report["recipe"]) == (str(output), "dynamic_int8")
    assert report["bytes"] == output.stat().st_size
    assert report["errors"].keys() == {"photographs"}
    assert 0 <= report["error"] == report["errors"]["photographs"] < 0.1
    assert report["operators"]["CONV_2D"] == 12  # four stages of one block each
    assert report["partitions"] == 1
    assert report["versions"]["keras-poolformer"] == __version__
    assert (out / "x.tflite.json").read_text(encoding="utf-8") == printed
    assert sorted(path.name for path in out.iterdir()) == ["x.tflite", "x.tflite.json"]


def test_export_records_the_checkpoint(exports):
    weights = ASSETS / "poolformer_tiny_cifar10" / "model.safetensors"
    record = json.loads((exports / "pixels.tflite.json").read_text(encoding="utf-8"))
    assert record["source_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.mark.slow
def test_saved_model_is_recorded_too(files, run, out):
    options = ("--recipe", "saved_model", "-o", out / "saved")
    status, printed, _ = run("export", files / "tiny.keras", *options)
    assert status == 0
    assert "error on photographs" in printed
    record = json.loads((out / "saved.json").read_text(encoding="utf-8"))
    assert record["error"] <= 1e-6
    in_files = sum(path.stat().st_size for path in (out / "saved").rglob("*") if path.is_file())
    assert record["bytes"] == in_files


def test_export_refuses_unknown_words(files, refusal, out):
    arguments = ("export", files / "tiny.keras", "-o", out / "x.tflite")
    choices = {
        "--recipe": ["fp32", "fp16", "dynamic_int8", "saved_model"],
        "--inputs": ["normalized", "pixels"],
        "--outputs": ["logits", "probabilities"],
    }
    for option, words in choices.items():
        message = refusal(*arguments, option, "foo")
        assert all(word in message for word in ["'foo'", *words]), message


@pytest.mark.slow
def test_export_replaces_only_if_asked(files, refusal, run, out):
    output = out / "x.tflite"
    record = out / "x.tflite.json"
    record.write_text("precious", encoding="utf-8", newline="\n")
    assert "exists already" in refusal("export", files / "tiny.keras", "-o", output)
    record.unlink()
    output.write_text("precious", encoding="utf-8", newline="\n")
    assert "exists already" in refusal("export", files / "tiny.keras", "-o", output)
    assert "exists already" in refusal("export", "nosuch.keras", "-o", output)  # before reading
    assert output.read_text(encoding="utf-8") == "precious"
    assert run("export", files / "tiny.keras", "-o", output, "--overwrite")[0] == 0
    assert output.stat().st_size > 40_000


@pytest.mark.slow
def test_int8_needs_calibration_and_says_how_much_it_used(
    files, refusal, run, out, tmp_path, photographs
):
    arguments = ("export", files / "tiny.keras", "--recipe", "int8", "-o", out / "x.tflite")
    assert "needs --calibration FOLDER" in refusal(*arguments)
    assert "must be a folder" in refusal(*arguments, "--calibration", tmp_path / "nowhere")
    assert "holds no image files" in refusal(*arguments, "--calibration", tmp_path)
    photo = photographs[0]
    (tmp_path / "good.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:50])
    status, _, lines = run(*arguments, "--calibration", tmp_path)
    assert (status, "broken.jpg" in lines[-1]) == (2, True)
    status, printed, _ = run(*arguments, "--calibration", tmp_path, "--skip-broken", "--json")
    assert status == 0
    report = json.loads(printed)
    assert (report["calibration_images"], report["recipe"]) == (1, "int8")
    assert report["skipped"] == [str(tmp_path / "broken.jpg")]
