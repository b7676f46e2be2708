"""The whole path from checkpoint to device: `python -m keras_poolformer.demo` (or `make demo`).

Converts the shipped PyTorch checkpoint, compares it with the logits of its PyTorch class, exports
every format, classifies the shipped photographs with each of them, prints one table, and draws a
contact sheet. Then the shipped segmenter finds the nuclei in a micrograph, in Keras and as a file.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from keras_poolformer.cli import one_line_errors
from keras_poolformer.evaluation.opening import open_scorer
from keras_poolformer.export.recipes import RECIPES as EXPORT_RECIPES
from keras_poolformer.images.files import load_image, load_label_map
from keras_poolformer.inspection.contact_sheet import Group, draw_contact_sheet
from keras_poolformer.scores import softmax
from keras_poolformer.shipped import ASSETS, sample_micrograph
from keras_poolformer.sources import resolve
from keras_poolformer.support.files import size_of
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.models.classifier import MetaFormerImageClassifier

PRESET = "convformer_tiny_cifar10"
SEGMENTER = "poolformer_tiny_nuclei"
MICROGRAPH, NUCLEI = sample_micrograph()  # the picture and its mask
RECIPES = tuple(name for name, recipe in EXPORT_RECIPES.items() if not recipe.needs_calibration)
# Of the shipped photographs those on the contact sheet: of classes that the model has, and others.
KNOWN = (
    "chelsea.jpg", "cifar10_test_16_dog.png", "cifar10_test_13_horse.png",
    "cifar10_test_22_deer.png", "cifar10_test_07_frog.png", "cifar10_test_10_airplane.png",
    "cifar10_test_01_ship.png", "cifar10_test_06_automobile.png", "cifar10_test_11_truck.png",
    "cifar10_test_23_truck.png",
)  # fmt: skip
UNKNOWN = ("camera.jpg", "china.jpg", "flower.jpg")
WARM_UPS = 5  # calls
ROUNDS = 40  # timed calls of each format

# Function from a normalized batch to logits.
Predict: TypeAlias = Callable[[np.ndarray], np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m keras_poolformer.demo", description=__doc__)
    parser.add_argument(
        "--output",
        default="build/demo",
        metavar="FOLDER",
        help="folder to write to (default: %(default)s)",
    )
    return one_line_errors("demo", run, parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Writes everything into the folder `options.output`."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(
        [
            f"converting {PRESET}",
            "comparing with PyTorch's logits",
            *(f"exporting {name}" for name in ("SavedModel", *RECIPES)),
            "classifying with each format",
            "drawing the contact sheet",
            f"segmenting with {SEGMENTER}",
            "exporting it",
            "drawing the segments",
        ]
    )
    progress.start()
    model = _convert(folder / f"{PRESET}.keras")
    progress.start()
    torch_error, torch_images = _compare_with_torch(model)
    formats = _export(model, folder, progress)
    progress.start()
    photographs = sorted((ASSETS / "photos").iterdir())
    batch = model.transform(photographs)
    logits = {name: predict(batch) for name, (_, predict) in formats.items()}
    milliseconds = _time([predict for _, predict in formats.values()], batch[:1])
    progress.start()
    sheet = folder / "contact_sheet.png"
    draw_contact_sheet(sheet, _groups(photographs, logits["Keras"]), model.config.labels)
    segments = folder / "nuclei.png"
    scores = _segment(folder / f"{SEGMENTER}_dynamic_int8.tflite", segments, progress)
    progress.finish()

    print(f"PyTorch's logits on {torch_images} images: relative L2 error {torch_error:.1e}")
    _print_table(formats, logits, milliseconds)
    print(f"{len(photographs)} photographs: {sheet}")
    shares = ", ".join(f"{name} {share:.1f} %" for name, share in scores.items())
    print(f"mIoU of the nuclei in {MICROGRAPH.name}: {shares}: {segments}")


def _groups(photographs: Sequence[Path], logits: np.ndarray) -> list[Group]:
    """The groups of the contact sheet."""
    probabilities = dict(zip(photographs, softmax(logits), strict=True))
    groups = []
    for title, names, is_known in (
        ("Photographs of its ten classes", KNOWN, True),
        ("Not among its classes: it can only guess", UNKNOWN, False),
    ):
        files = [ASSETS / "photos" / name for name in names]
        rows = np.stack([probabilities[file] for file in files])
        groups.append(Group(title, files, rows, is_known))
    return groups


def _convert(path: Path) -> "MetaFormerImageClassifier":
    """The model of the shipped checkpoint, saved as a .keras file and loaded from it."""
    from keras_poolformer.models.classifier import MetaFormerImageClassifier

    source = resolve(PRESET)
    MetaFormerImageClassifier.from_preset(source).save(path)
    return MetaFormerImageClassifier.from_preset(path)


def _compare_with_torch(model: "MetaFormerImageClassifier") -> tuple[float, int]:
    """(Relative L2 error against the logits stored with the checkpoint, number of images)."""
    stored = json.loads(
        (resolve(PRESET).weights.parent / "torch_logits.json").read_text(encoding="utf-8")
    )
    images = [ASSETS / "photos" / name for name in stored]
    expected = np.array(list(stored.values()))
    received = model.predict_on_batch(model.transform(images))
    error = np.linalg.norm(received - expected) / np.linalg.norm(expected)
    return float(error), len(images)


def _export(
    model: "MetaFormerImageClassifier", folder: Path, progress: Progress
) -> dict[str, tuple[Path, Predict]]:
    """{format: (path, function from a normalized batch to logits)}."""
    from keras_poolformer.export.saved_model import export_saved_model
    from keras_poolformer.export.tflite import export_tflite

    formats = {"Keras": (folder / f"{PRESET}.keras", model.predict_on_batch)}
    progress.start()
    path = export_saved_model(model, folder / "saved_model", overwrite=True)
    formats["SavedModel"] = (path, open_scorer(path).predict)
    for recipe in RECIPES:
        progress.start()
        path = folder / f"{PRESET}_{recipe}.tflite"
        export_tflite(model, path, recipe=recipe, overwrite=True)
        formats[f"TFLite {recipe}"] = (path, open_scorer(path).predict)
    return formats


def _segment(file: Path, picture: Path, progress: Progress) -> dict[str, float]:
    """Writes a .tflite file of the segmenter and a picture of what it finds; {format: mIoU}."""
    from keras_poolformer.evaluation.iou import IouMeter
    from keras_poolformer.evaluation.worst_images import draw_segmented
    from keras_poolformer.export.tflite import export_tflite
    from keras_poolformer.models.segmenter import MetaFormerSegmenter
    from keras_poolformer.runtime import TFLiteSegmenter

    progress.start()
    model = MetaFormerSegmenter.from_preset(SEGMENTER)
    labels = {"Keras": model.predict_labels(MICROGRAPH)}
    progress.start()
    export_tflite(model, file, recipe="dynamic_int8", overwrite=True)
    segmenter = TFLiteSegmenter(file)
    labels["TFLite dynamic_int8"] = segmenter.segment(MICROGRAPH, tiles=True)
    progress.start()
    micrograph = load_image(MICROGRAPH)
    mask = load_label_map(NUCLEI)
    title = "nuclei.png: what was drawn by hand, and what TFLite dynamic_int8 finds"
    drawn = draw_segmented(micrograph, mask, labels["TFLite dynamic_int8"], title, model.palette)
    drawn.save(picture)
    scores = {}
    for name, found in labels.items():
        meter = IouMeter(model.config.num_classes)
        meter.add(found, mask)
        scores[name] = meter.scores().mean_iou
    return scores


def _time(predicts: Sequence[Predict], image: np.ndarray) -> list[float]:
    """Median milliseconds of each function on one image, called in turns."""
    seconds: list[list[float]] = [[] for _ in predicts]
    for step in range(WARM_UPS + ROUNDS):
        for predict, taken in zip(predicts, seconds, strict=True):
            start = time.perf_counter()
            predict(image)
            if step >= WARM_UPS:
                taken.append(time.perf_counter() - start)
    return [1000 * statistics.median(taken) for taken in seconds]


def _print_table(
    formats: Mapping[str, tuple[Path, Predict]],
    logits: Mapping[str, np.ndarray],
    milliseconds: Sequence[float],
) -> None:
    reference = logits["Keras"]
    print(f"{'format':20} {'MB':>6} {'max error':>10} {'agreement':>10} {'ms/image':>9}")
    for (name, (path, _)), duration in zip(formats.items(), milliseconds, strict=True):
        error = np.abs(logits[name] - reference).max()
        agreement = (logits[name].argmax(1) == reference.argmax(1)).mean()
        size = size_of(path) / 1e6
        print(f"{name:20} {size:6.2f} {error:10.1e} {agreement:10.1%} {duration:9.2f}")


if __name__ == "__main__":
    sys.exit(main())
