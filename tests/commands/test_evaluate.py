"""What `evaluate` counts, in every format, and what it refuses."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    export_saved_model,
)
from keras_poolformer.cli import main
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources.presets import CIFAR10_LABELS
from tests.helpers import CIFAR10_PHOTOS, DEMO, PRESET, ROOT, run_python

NUMBERED = (0, 0, 1, 1, 1, 2, 2, 2, 2)
FORMATS = ("saved_model", "fp32.tflite", "dynamic_int8.tflite", "pixels.tflite")


@pytest.fixture(scope="session")
def ranked():
    """{photograph: its classes, the likeliest first}, of the Keras model."""
    model = PoolFormerImageClassifier.from_preset(PRESET)
    logits = np.asarray(model(ImageTransform.from_preset(PRESET)(CIFAR10_PHOTOS)))
    return dict(zip(CIFAR10_PHOTOS, np.argsort(-logits, kind="stable").tolist(), strict=True))


def counted(ranked, truth):
    """The result that is expected, where `truth` gives a photograph's class."""
    places = [order.index(truth(photo)) for photo, order in ranked.items()]
    shares = [100 * sum(place < top for place in places) / len(places) for top in (1, 5)]
    return {"images": len(places), "top1": shares[0], "top5": shares[1]}


def true_class(photo):
    return CIFAR10_LABELS.index(photo.stem.rpartition("_")[2])


def result_of(done):
    status, printed, lines = done
    assert (status, lines) == (0, [])
    return json.loads(printed)


# ---------------------------------------------------------------------------------------
# What is counted


SLOW_FORMATS = ("saved_model", "dynamic_int8.tflite")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW_FORMATS else ())
        for name in (None, *FORMATS)
    ],
)
def test_every_format_counts_the_same(name, exports, data, ranked, run):
    source = exports / name if name else PRESET
    assert result_of(run("evaluate", source, "--data", data, "--json")) == counted(
        ranked, true_class
    )


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["fp32.tflite", None, "saved_model"])
def test_wrong_labels_are_counted_as_wrong(name, exports, data, tmp_path, ranked, run):
    """Each folder under the name of the next class, so that most images are wrong."""
    for index, label in enumerate(CIFAR10_LABELS):
        if (data / label).exists():
            (data / label).rename(tmp_path / str((index + 1) % 10))
    shifted = tmp_path / "shifted"
    shifted.mkdir()
    for index in range(10):
        if (tmp_path / str(index)).exists():
            (tmp_path / str(index)).rename(shifted / CIFAR10_LABELS[index])
    source = exports / name if name else PRESET
    expected = counted(ranked, lambda photo: (true_class(photo) + 1) % 10)
    assert expected["top1"] < 20 < expected["top5"] < 100
    assert result_of(run("evaluate", source, "--data", shifted, "--json")) == expected


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_batch_size_changes_nothing(size, exports, data, ranked, run):
    arguments = ("--data", data, "--batch-size", size, "--json")
    for source in (PRESET, exports / "fp32.tflite"):
        assert result_of(run("evaluate", source, *arguments)) == counted(ranked, true_class)


def test_a_limit_keeps_every_class(exports, data, run):
    classes = len(list(data.iterdir()))
    for path in data.glob("*/*"):  # as many of each class
        path.unlink()
    for folder in data.iterdir():
        for number in range(4):
            shutil.copy(next(p for p in CIFAR10_PHOTOS if p.stem.endswith(folder.name)),
                        folder / f"{number}.png")  # fmt: skip
    source = exports / "fp32.tflite"
    whole = result_of(run("evaluate", source, "--data", data, "--json"))
    part = result_of(run("evaluate", source, "--data", data, "--limit", 2 * classes, "--json"))
    assert part == whole | {"images": 2 * classes}
    assert whole["images"] == 4 * classes


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["tiny.tflite", "tiny.keras", "tiny.pth.tar"])
def test_a_model_without_labels_takes_class_numbers(name, files, numbered, run):
    result = result_of(run("evaluate", files / name, "--data", numbered, "--json"))
    assert result.keys() == {"images", "top1"}  # three classes have no top-5
    model = PoolFormerImageClassifier.from_preset(files / "tiny.keras")
    predicted = np.asarray(model(ImageTransform()(CIFAR10_PHOTOS[:9]))).argmax(1)
    assert result == {"images": 9, "top1": 100 * (predicted == NUMBERED).sum() / 9}


def test_text_is_one_line(exports, data, ranked, run):
    status, printed, lines = run("evaluate", exports / "fp32.tflite", "--data", data)
    assert (status, lines) == (0, [])
    expected = counted(ranked, true_class)
    assert printed == f"24 images: top-1 {expected['top1']:.2f} %, top-5 {expected['top5']:.2f} %\n"


def test_the_figures_of_each_class(exports, data, ranked, run):
    arguments = ("evaluate", exports / "fp32.tflite", "--data", data, "--per-class")
    classes = result_of(run(*arguments, "--json"))["classes"]
    right = {photo: order[0] == true_class(photo) for photo, order in ranked.items()}
    for figures in classes:
        ours = [right[photo] for photo in CIFAR10_PHOTOS if true_class(photo) == figures["class"]]
        assert (figures["images"], figures["correct"]) == (len(ours), sum(ours))
    assert [figures["label"] for figures in classes] == sorted({
        CIFAR10_LABELS[true_class(photo)] for photo in CIFAR10_PHOTOS
    })  # fmt: skip
    status, printed, _ = run(*arguments)
    assert status == 0
    assert len(printed.splitlines()) == len(classes) + 1


def test_a_report_lists_the_mistakes(exports, data, ranked, run, out):
    arguments = ("evaluate", exports / "fp32.tflite", "--data", data, "--report", out / "report")
    status, printed, _ = run(*arguments)
    assert status == 0
    assert printed.endswith(
        "calibration.csv, classes.csv, confusion.csv, confusion.png, index.html, mistakes.csv, "
        "reliability.png\n"
    )
    with (out / "report" / "mistakes.csv").open(encoding="utf-8") as file:
        mistakes = list(csv.DictReader(file))
    wrong = {photo.name for photo, order in ranked.items() if order[0] != true_class(photo)}
    assert {Path(mistake["image"]).name for mistake in mistakes} == wrong
    for mistake in mistakes:
        photo = next(photo for photo in CIFAR10_PHOTOS if photo.name == Path(mistake["image"]).name)
        assert CIFAR10_LABELS[ranked[photo][0]] == mistake["predicted"]
    assert run(*arguments)[0] == 2  # exists
    (out / "report" / "notes.txt").write_text("mine", encoding="utf-8", newline="\n")
    assert run(*arguments, "--overwrite")[0] == 2
    (out / "report" / "notes.txt").unlink()
    assert run(*arguments, "--overwrite")[0] == 0


@pytest.mark.slow
def test_images_of_different_sizes_that_are_not_cropped(data, tiny_config, out, run, photographs):
    transform = ImageTransform(size=32, crop_pct=None, do_center_crop=False)
    model = PoolFormerImageClassifier(
        tiny_config.replace(labels=("cat", "dog", "ship")),
        provenance={"transform": transform.to_dict()},
    )
    model.save(out / "x.keras")
    export_saved_model(model, out / "x")
    shutil.copy(photographs[2], data / "cat")  # not square
    for folder in data.iterdir():
        if folder.name not in ("cat", "dog", "ship"):
            shutil.rmtree(folder)
    sizes = {transform.pixels(path).shape for path in data.glob("*/*")}
    assert len(sizes) > 1
    results = [
        result_of(run("evaluate", out / name, "--data", data, "--json"))
        for name in ("x.keras", "x")
    ]
    assert results[0] == results[1] and results[0]["images"] == len(list(data.glob("*/*")))


def test_progress_advances_per_batch(data, exports, monkeypatch):
    advanced, path = [], str(exports / "fp32.tflite")
    monkeypatch.setattr(
        "keras_poolformer.support.progress.Progress.advance",
        lambda self, *one: advanced.append(one),
    )
    arguments = ["evaluate", path, "--data", str(data), "--batch-size", "10"]
    assert main(arguments) == 0
    assert advanced == [(10, 24), (20, 24), (24, 24)]


def test_a_tflite_file_needs_no_framework(exports, data, ranked):
    """As on a small board: a fresh process in which neither Keras nor TensorFlow exists."""
    heavy = ("keras", "tensorflow", "torch", "jax", "safetensors", "h5py")
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({heavy}))\n"
        "from keras_poolformer.cli import main\n"
        "status = main(sys.argv[1:])\n"
        f"assert not any(sys.modules[name] for name in {heavy})\n"
        "assert not [name for name in sys.modules if name.startswith(('keras.', 'tensorflow.'))]\n"
        "raise SystemExit(status)\n"
    )
    arguments = ("evaluate", exports / "fp32.tflite", "--data", data, "--json")
    done = run_python("-W", "error", "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == counted(ranked, true_class)
    arguments = ("predict", exports / "fp32.tflite", *CIFAR10_PHOTOS[:2], "--json", "--top-k", 1)
    done = run_python("-W", "error", "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    likeliest = [top[0]["label"] for top in json.loads(done.stdout).values()]
    assert likeliest == [CIFAR10_LABELS[ranked[photo][0]] for photo in CIFAR10_PHOTOS[:2]]


def test_importing_evaluation_imports_no_framework():
    code = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(f'keras_poolformer.{module}')\n"
        "    print(module, {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules))"
    )
    modules = (
        "evaluation.measuring",
        "evaluation.report",
        "data.splits.opening",
        "commands.evaluate",
        "commands.predict",
        "commands.train",
    )
    done = run_python("-W", "error", "-c", code, *modules)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{module} set()" for module in modules]


# ---------------------------------------------------------------------------------------
# Data that are refused


@pytest.mark.first(2)
@pytest.mark.parametrize("name", ["fp32.tflite", None, "saved_model"])
def test_a_folder_that_is_no_label(name, exports, data, refusal):
    (data / "cat").rename(data / "kitty")
    message = refusal("evaluate", exports / name if name else PRESET, "--data", data)
    assert "named by the model's labels (airplane, automobile, " in message
    assert "Received: 'kitty'" in message


def test_labels_where_the_model_has_none(files, data, refusal):
    message = refusal("evaluate", files / "tiny.tflite", "--data", data)
    assert "class number, 0 to 2: the model has no labels" in message
    assert "Received: 'airplane'" in message


def test_bad_folders_are_said_before_the_model_is_loaded(data, tmp_path, refusal):
    assert "no such folder" in refusal("evaluate", "nosuch", "--data", tmp_path / "nosuch")
    (data / "cat" / "more").mkdir()
    assert "cat/more" in refusal("evaluate", "nosuch", "--data", data)
    shutil.rmtree(data)
    data.mkdir()
    assert "a folder for each class" in refusal("evaluate", "nosuch", "--data", data)


@pytest.fixture
def broken(data):
    """Three images that cannot be read."""
    good = (data / "cat" / CIFAR10_PHOTOS[0].name).read_bytes()
    paths = [data / "cat" / "aaa.png", data / "dog" / "zzz.jpg", data / "ship" / "link.png"]
    paths[0].write_bytes(good[: len(good) // 2])
    paths[1].write_text("<!DOCTYPE html>", encoding="utf-8", newline="\n")
    paths[2].symlink_to(data / "nosuch.png")
    return paths


@pytest.mark.first(2)
@pytest.mark.parametrize("name", ["fp32.tflite", None, "saved_model"])
def test_a_broken_image_stops_and_is_named(name, exports, data, broken, refusal):
    message = refusal("evaluate", exports / name if name else PRESET, "--data", data)
    assert str(broken[0]) in message and "cannot be read as an image" in message


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["fp32.tflite", None])
def test_broken_images_are_skipped_if_asked(name, exports, data, broken, ranked, run):
    source = exports / name if name else PRESET
    arguments = ("evaluate", source, "--data", data, "--skip-broken", "--batch-size", 3)
    status, printed, (line,) = run(*arguments, "--json")
    assert status == 0
    assert json.loads(printed) == counted(ranked, true_class) | {"skipped": 3}
    assert line == "skipped 3 broken images: " + ", ".join(map(str, broken))


def test_many_broken_images_are_not_all_named(exports, data, run):
    for number in range(8):
        (data / "cat" / f"{number}.png").touch()
    _, printed, (line,) = run(
        "evaluate", exports / "fp32.tflite", "--data", data, "--skip-broken", "--json"
    )
    assert line.startswith("skipped 8 broken images: ") and line.endswith("cat/4.png and 3 more")
    assert json.loads(printed)["skipped"] == 8


def test_nothing_but_broken_images(exports, data, refusal):
    for path in data.glob("*/*"):
        path.write_text("no picture", encoding="utf-8", newline="\n")
    message = refusal("evaluate", exports / "fp32.tflite", "--data", data, "--skip-broken")
    assert "at least one image" in message


# ---------------------------------------------------------------------------------------
# Usage


@pytest.mark.parametrize(
    "options",
    [(), ("--data",), ("--data", "x", "--limit", "0"), ("--data", "x", "--batch-size", "-1")],
)
def test_bad_usage_is_one_line(options, run):
    status, printed, (line,) = run("evaluate", PRESET, *options)
    assert (status, printed) == (2, "")
    assert ": error: " in line and "--help" in line


def test_help_names_the_options(run):
    status, printed, lines = run("evaluate", "--help")
    assert (status, lines) == (0, [])
    assert "example: keras-poolformer evaluate" in printed
    for option in ("--data", "--limit", "--batch-size", "--skip-broken", "--json"):
        assert option in printed


def test_the_documents_state_what_the_preset_card_says():
    """The table of measured accuracies begins with the preset itself."""
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    section = page.partition("## Measure accuracy")[2].partition("\n## ")[0]
    (row,) = re.findall(r"^\| Keras .*$", section, re.MULTILINE)
    card = json.loads((ASSETS / DEMO / "preset.json").read_text(encoding="utf-8"))
    assert f"{card['top1']:.2f} %" in row
