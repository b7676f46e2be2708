"""`evaluate` on images with masks: what it counts, in every format, and what it rejects."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerSegmenter, export_saved_model, export_tflite
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.runtime import TFLiteSegmenter
from tests.export.segmenters import randomized
from tests.helpers import PHOTOS, PRESET
from tests.segmenters import LABELS, PALETTE, SHALLOW

CLASSES = SHALLOW.num_classes
SIZE = (64, 96)
FORMATS = ("m.keras", "logits.tflite", "saved_model", "probabilities.tflite", "labels.tflite")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A segmenter as a Keras file and a .tflite file, for images of the same size."""
    folder = tmp_path_factory.mktemp("segmenters")
    model = randomized(SHALLOW.replace(labels=LABELS, palette=PALETTE))
    model.transform = segmentation_transform(SIZE)
    model.save(folder / "m.keras")
    export_tflite(model, folder / "logits.tflite")
    return folder


def in_format(sources, name):
    """The path of the segmenter in one of `FORMATS`."""
    path = sources / name
    if not path.exists():
        model = PoolFormerSegmenter.from_preset(sources / "m.keras")
        if name == "saved_model":
            return export_saved_model(model, path)
        export_tflite(model, path, outputs=path.stem)
    return path


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """Six photographs of several sizes, with random masks in which some pixels have no class."""
    root, random = tmp_path_factory.mktemp("masked"), np.random.default_rng(0)
    photos = [photo for photo in PHOTOS if photo.suffix == ".jpg"][:2] + PHOTOS[-4:]
    for number, photo in enumerate(photos):
        write(root, f"{number}", photo, random.integers(0, CLASSES, (5, 4)))
    (root / "labels.txt").write_text(
        "".join(f"{label}\n" for label in LABELS), encoding="utf-8", newline="\n"
    )
    return root


def write(root, name, photo, coarse):
    """An image, and a mask of coarse areas whose first row of pixels has no class."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(exist_ok=True)
    shutil.copy(photo, root / "images" / f"{name}{photo.suffix}")
    with Image.open(photo) as image:
        size = image.size
    mask = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    labels = np.array(mask)
    labels[0] = 255
    Image.fromarray(labels).save(root / "masks" / f"{name}.png")


@pytest.fixture
def data(masked, tmp_path):
    """A copy of the images and masks, to change."""
    return shutil.copytree(masked, tmp_path / "data")


@pytest.fixture(scope="module")
def areas(sources, masked):
    """{image: intersections, predicted and true areas of the classes}, of the .tflite file.

    By mmsegmentation's formula (`IoUMetric.intersect_and_union`), with histograms of labels.
    """
    segmenter = TFLiteSegmenter(sources / "logits.tflite")
    return {
        path: areas_of(segmenter.segment(path), masked, path)
        for path in sorted((masked / "images").iterdir())
    }


def areas_of(predicted, masked, image):
    """Intersections, predicted and true areas (3, classes) of one image."""
    with Image.open(masked / "masks" / f"{image.stem}.png") as mask:
        true = np.array(mask)
    predicted, true = predicted[true != 255], true[true != 255]
    kinds = (predicted[predicted == true], predicted, true)
    return np.array([np.histogram(labels, np.arange(CLASSES + 1))[0] for labels in kinds])


def figures_of(areas):
    """mmsegmentation's `total_area_to_metrics`, in percent."""
    hits, predicted, true = areas
    with np.errstate(invalid="ignore"):
        iou, accuracy = 100 * hits / (predicted + true - hits), 100 * hits / true
    return {
        "mean_iou": np.nanmean(iou),
        "mean_accuracy": np.nanmean(accuracy),
        "pixel_accuracy": 100 * hits.sum() / true.sum(),
    }


def result_of(done):
    status, printed, lines = done
    assert (status, lines) == (0, [])
    return json.loads(printed)


@pytest.mark.first(2)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_counts_as_mmsegmentation(name, sources, masked, areas, run):
    source = in_format(sources, name)
    result = result_of(run("evaluate", source, "--data", masked, "--json"))
    expected = {"images": 6, **figures_of(sum(areas.values()))}
    # Labels in a file are at its own size: 2 % of the pixels differ here.
    tolerance = 2 if name == "labels.tflite" else 1e-9 if name == "logits.tflite" else 0.02
    assert result == pytest.approx(expected, abs=tolerance)
    assert 1 < expected["mean_iou"] < 99


def test_figures_of_each_class(sources, masked, areas, run):
    arguments = ("evaluate", sources / "logits.tflite", "--data", masked, "--per-class")
    classes = result_of(run(*arguments, "--json"))["classes"]
    hits, predicted, true = sum(areas.values())
    present = np.flatnonzero(predicted + true)
    assert [row["class"] for row in classes] == present.tolist()
    assert [row["label"] for row in classes] == [LABELS[index] for index in present]
    assert [row["pixels"] for row in classes] == true[present].tolist()
    iou = 100 * hits / (predicted + true - hits)
    assert [row["iou"] for row in classes] == pytest.approx(iou[present].tolist(), abs=0.02)
    status, printed, _ = run(*arguments)
    assert status == 0
    *lines, last = printed.splitlines()
    assert len(lines) == len(present) and lines[0].endswith(LABELS[present[0]])
    assert last.startswith("6 images: mIoU ") and "mAcc " in last and "pixel accuracy" in last


@pytest.mark.slow
def test_a_report_shows_the_worst_images(sources, masked, areas, run, out):
    report = out / "report"
    arguments = ("evaluate", sources / "logits.tflite", "--data", masked, "--report", report)
    status, printed, _ = run(*arguments)
    assert status == 0
    assert printed.endswith(
        "classes.csv, confusion.csv, confusion.png, images.csv, index.html, worst\n"
    )
    with (report / "images.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scores = {str(path): figures_of(counts)["mean_iou"] for path, counts in areas.items()}
    assert [row["image"] for row in rows] == sorted(scores, key=scores.get)
    assert [float(row["mean_iou"]) for row in rows] == pytest.approx(sorted(scores.values()), 1e-3)
    assert {path.name for path in (report / "worst").iterdir()} == {f"{n}.png" for n in range(1, 7)}
    with (report / "confusion.csv").open(encoding="utf-8", newline="") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], int)
    hits, predicted, true = sum(areas.values())
    present = np.flatnonzero(predicted + true)
    for received, expected in (
        (np.diag(counts), hits),
        (counts.sum(0), predicted),
        (counts.sum(1), true),
    ):
        assert received.tolist() == expected[present].tolist()
    assert run(*arguments, "--overwrite")[0] == 0  # it is recognized, with its pictures


def test_splits_and_limits(sources, data, areas, run):
    """`val` is measured where there are splits, as for class folders."""
    paths = sorted(areas)
    for kind, suffix in (("images", None), ("masks", ".png")):
        for number, path in enumerate(paths):
            split = data / kind / ("val" if number < 2 else "train")
            split.mkdir(exist_ok=True)
            name = path.with_suffix(suffix or path.suffix).name
            (data / kind / name).rename(split / name)
    arguments = ("evaluate", sources / "logits.tflite", "--data", data, "--json")
    expected = {"images": 2, **figures_of(areas[paths[0]] + areas[paths[1]])}
    assert result_of(run(*arguments)) == pytest.approx(expected)
    expected = {"images": 2, **figures_of(areas[paths[2]] + areas[paths[4]])}
    received = result_of(run(*arguments, "--split", "train", "--limit", 2))
    assert received == pytest.approx(expected)


def test_classes_that_count_from_1(sources, data, areas, run):
    for path in (data / "masks").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels == 255, 0, labels + 1).astype(np.uint8)).save(path)
    arguments = ("evaluate", sources / "logits.tflite", "--data", data, "--json")
    result = result_of(run(*arguments, "--reduce-zero-label"))
    assert result == pytest.approx({"images": 6, **figures_of(sum(areas.values()))})


def test_tiles_are_measured_as_the_file_segments_them(sources, masked, run, refusal):
    path = sources / "logits.tflite"
    segmenter, areas = TFLiteSegmenter(path), np.zeros((3, CLASSES), int)
    for image in (masked / "images").iterdir():
        areas += areas_of(segmenter.segment(image, tiles=True), masked, image)
    arguments = ("--data", masked, "--tiles", "--json")
    result = result_of(run("evaluate", path, *arguments))
    assert result == pytest.approx({"images": 6, **figures_of(areas)})
    message = refusal("evaluate", sources / "m.keras", *arguments)
    assert "tiles need a segmenter's .tflite file" in message


# ---------------------------------------------------------------------------------------
# What is rejected, by one line


def test_the_task_of_the_model_and_of_the_data(sources, masked, numbered, exports, refusal):
    segmenter = sources / "logits.tflite"
    message = refusal("evaluate", segmenter, "--data", numbered)
    assert "is a segmenter" in message and "images/ and masks/" in message
    message = refusal("evaluate", exports / "fp32.tflite", "--data", masked)
    assert "is a classifier" in message and "Received: images with masks" in message
    message = refusal("evaluate", PRESET, "--data", numbered, "--reduce-zero-label")
    assert "--reduce-zero-label goes with masks" in message


def test_names_that_are_not_the_models(sources, data, refusal):
    arguments = ("evaluate", sources / "logits.tflite", "--data", data)
    names = data / "labels.txt"
    names.write_text("".join(f"{label}\n" for label in LABELS[:-1]), encoding="utf-8", newline="\n")
    assert "must name the model's 5 classes. Received: 4 names" in refusal(*arguments)
    names.write_text("wall\nsky\nroad\ntree\nsea\n", encoding="utf-8", newline="\n")
    message = refusal(*arguments)
    assert "labels.txt must name the model's classes in their order" in message
    assert "class 2 is 'tree'. Received: 'road'" in message
    names.write_bytes(b"\xff\xfe")
    assert "must be UTF-8" in refusal(*arguments)


def test_masks_that_do_not_fit(sources, data, refusal, run):
    arguments = ("evaluate", sources / "logits.tflite", "--data", data)
    first, *_ = sorted((data / "masks").iterdir())
    kept = first.read_bytes()
    Image.new("L", (3, 2)).save(first)
    message = refusal(*arguments)
    assert str(first) in message and "must have the size of its image" in message
    status, printed, (line,) = run(*arguments, "--skip-broken", "--json")
    assert (status, json.loads(printed)["images"], json.loads(printed)["skipped"]) == (0, 5, 1)
    assert line.startswith("skipped 1 broken images: ") and "images/0." in line
    with Image.open(next((data / "images").glob("0.*"))) as image:
        Image.new("L", image.size, 77).save(first)
    message = refusal(*arguments)
    assert f"'{first}': labels must be 0 to 4, or 255 for no class. Received: 77" in message
    first.unlink()
    message = refusal(*arguments)
    assert "must have one mask" in message and first.name in message
    first.write_bytes(kept)
    for path in (data / "masks").iterdir():
        path.write_text("no picture", encoding="utf-8", newline="\n")
    message = refusal(*arguments, "--skip-broken")  # all of them: the first one is named
    assert "masks/0.png" in message


def test_folders_that_are_incomplete(sources, data, refusal):
    arguments = ("evaluate", "nosuch", "--data", data)  # before the model is loaded
    assert "Did you mean" not in refusal(*arguments, "--split", "val")
    for kind in ("images", "masks"):
        (data / kind / "train").mkdir()
    assert "--split train measures on the training images" in refusal(*arguments)
    for path in (data / "images").glob("*.*"):
        path.unlink()
    assert "holds no image files" in refusal(*arguments, "--split", "train")


@pytest.mark.slow
def test_a_file_of_labels_without_names(tmp_path, data, run, refusal):
    """It says nowhere how many classes it has: labels.txt does."""
    model = randomized(SHALLOW)
    model.transform = segmentation_transform(SIZE)
    path = tmp_path / "m.tflite"
    export_tflite(model, path, outputs="labels")
    arguments = ("evaluate", path, "--data", data, "--per-class", "--json")
    classes = result_of(run(*arguments))["classes"]
    assert {row["label"] for row in classes} <= set(LABELS)
    (data / "labels.txt").unlink()
    assert "labels.txt must name the classes" in refusal(*arguments)
