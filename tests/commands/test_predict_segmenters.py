"""`predict` with a segmenter: overlays, their record, and the shares of the classes."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerSegmenter, export_saved_model, export_tflite
from keras_poolformer.images.overlays import overlay
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.runtime import TFLiteSegmenter
from tests.export.segmenters import randomized
from tests.helpers import PHOTOS, PRESET
from tests.segmenters import LABELS, PALETTE, SHALLOW

SIDE = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same segmenter as .keras and .tflite, of a shorter side of 64 pixels."""
    folder = tmp_path_factory.mktemp("segmenter")
    model = randomized(SHALLOW.replace(labels=LABELS, palette=PALETTE))
    model.transform = segmentation_transform(SIDE)
    model.save(folder / "m.keras")
    export_tflite(model, folder / "m.tflite", inputs="pixels")
    return folder


@pytest.fixture
def photos(tmp_path):
    """Two photographs of 150 x 100 and 90 x 90 pixels with the same stem."""
    for name, size in (("a", (150, 100)), ("b", (90, 90))):
        (tmp_path / name).mkdir()
        path = next(path for path in PHOTOS if path.name == "chelsea.jpg")
        Image.open(path).convert("RGB").resize(size).save(tmp_path / name / "photo.png")
    return [tmp_path / "a" / "photo.png", tmp_path / "b" / "photo.png"]


def shares(labels):
    counts = np.bincount(labels.ravel(), minlength=len(LABELS)) / labels.size
    return {name: share for name, share in zip(LABELS, counts.tolist(), strict=True) if share}


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["m.tflite", "m.keras", "m"])
def test_overlays_and_shares(name, files, photos, out, run):
    folder = out / "overlays"
    model = PoolFormerSegmenter.from_preset(files / "m.keras")
    if name == "m":
        export_saved_model(model, files / "m")
    status, printed, lines = run("predict", files / name, *photos, "-o", folder, "--json")
    assert (status, lines) == (0, [])
    report = json.loads(printed)
    assert report == json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    assert [row["image"] for row in report["images"]] == list(map(str, photos))
    assert [row["overlay"] for row in report["images"]] == ["photo.png", "photo_2.png"]
    assert {path.name for path in folder.iterdir()} == {
        "photo.png", "photo_2.png", "classes.json",
    }  # fmt: skip
    if name == "m.tflite":  # stretches pictures
        model.transform = segmentation_transform((SIDE, SIDE))
    for photo, row in zip(photos, report["images"], strict=True):
        labels = model.predict_labels(photo)
        received = {entry["label"]: entry["share"] for entry in row["classes"]}
        assert received == pytest.approx(shares(labels), abs=1e-3)
        assert list(received.values()) == sorted(received.values(), reverse=True)
        picture = np.asarray(Image.open(photo))
        drawn = np.asarray(Image.open(folder / row["overlay"]))
        expected = np.asarray(overlay(photo, labels, PALETTE))
        same = (drawn[: picture.shape[0], : picture.shape[1]] == expected).all(-1)
        assert np.mean(same) >= 0.999
        legend = drawn[picture.shape[0] :].reshape(-1, 3)
        for entry in row["classes"]:
            assert (legend == PALETTE[entry["class"]]).all(-1).sum() > 100  # its swatch


def test_the_table_and_the_folder_by_default(files, photos, out, run, monkeypatch):
    monkeypatch.chdir(out)
    arguments = ("predict", files / "m.tflite", photos[0], "--top-k", 1)
    status, printed, _ = run(*arguments)
    assert status == 0
    labels = TFLiteSegmenter(files / "m.tflite").segment(photos[0])
    label, share = max(shares(labels).items(), key=lambda pair: pair[1])
    assert printed.splitlines() == [
        str(photos[0]), f"  {share:>6.1%}  {label}", "overlays: 1 overlay",
    ]  # fmt: skip
    status, printed, lines = run(*arguments)
    assert (status, printed) == (2, "")
    assert "overlays exists already" in lines[-1]
    status, printed, _ = run(*arguments, "--overwrite", "--csv")
    assert status == 0
    header, row = csv.reader(printed.splitlines())
    assert header == ["image", "overlay", "class", "label", "share"]
    assert row[:2] == [str(photos[0]), f"{photos[0].stem}.png"] and row[3] == label
    assert float(row[4]) == pytest.approx(share)
    (out / "overlays" / "mine.txt").write_text("mine", encoding="utf-8", newline="\n")
    status, _, lines = run(*arguments, "--overwrite")
    assert status == 2
    assert "only a folder of overlays that predict wrote is replaced" in lines[-1]


def test_tiles(files, photos, out, run):
    arguments = (photos[0], "-o", out / "overlays", "--tiles", "--json")
    status, printed, _ = run("predict", files / "m.tflite", *arguments)
    assert status == 0
    (row,) = json.loads(printed)["images"]
    labels = TFLiteSegmenter(files / "m.tflite").segment(photos[0], tiles=True)
    assert {entry["label"]: entry["share"] for entry in row["classes"]} == shares(labels)
    assert shares(labels) != shares(TFLiteSegmenter(files / "m.tflite").segment(photos[0]))


def test_images_that_cannot_be_read(files, photos, out, run, refusal):
    broken = photos[0].with_name("broken.png")
    broken.write_text("no picture", encoding="utf-8", newline="\n")
    message = refusal("predict", files / "m.tflite", broken, "-o", out / "overlays")
    assert "broken.png" in message
    arguments = ("predict", files / "m.tflite", broken, photos[0], "-o", out / "overlays")
    status, printed, lines = run(*arguments)
    assert status == 1 and "skipped" in lines[-1] and "overlays: 1 overlay" in printed
    shutil.rmtree(out / "overlays")
    assert run(*arguments, "--skip-broken")[0] == 0


def test_options_of_segmenters_only(files, photos, out, refusal):
    message = refusal("predict", PRESET, photos[0], "-o", out / "overlays")
    assert message.startswith("--output is for the overlays of a segmenter")
    message = refusal("predict", files / "m.keras", photos[0], "--tiles")
    assert message == f"tiles need a segmenter's .tflite file. Received: {files / 'm.keras'}"
