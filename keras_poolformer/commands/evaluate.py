"""The subcommand `evaluate`."""

import argparse
from pathlib import Path
from typing import Any

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_overrides,
    add_tiles,
    positive,
)
from keras_poolformer.evaluation import evaluating
from keras_poolformer.evaluation.classification import BATCH_SIZE
from keras_poolformer.support.messages import json_text

_DATA_OPTIONS = (
    "data",
    "split",
    "data_dir",
    "limit",
    "batch_size",
    "skip_broken",
    "reduce_zero_label",
)


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "evaluate",
        evaluate,
        "evaluate s12.tflite --data photos/  (where photos/ holds cat/1.jpg, dog/7.png, ...)",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    add_data_options(command, required=True)
    add_overrides(command)
    add_tiles(command)
    command.add_argument(
        "--per-class", action="store_true", help="print the figures of each class, too"
    )
    command.add_argument(
        "--report",
        metavar="FOLDER",
        help="folder to write a report to, with a page: figures of each class, confusion matrix, "
        "mistakes, reliability diagram; of a segmenter pictures of the worst images",
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing report")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")


def add_data_options(command: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds the options for the images that a model is measured on."""
    command.add_argument(
        "--data",
        required=required,
        metavar="FOLDER|NAME",
        help="images to measure on, whatever train takes: class folders, named by label or number; "
        "a folder of splits; a folder of images/ and masks/ for a segmenter; records of `prepare`, "
        "also at gs://; or a tfds data set, NAME[/CONFIG][:VERSION]",
    )
    command.add_argument(
        "--split",
        metavar="NAME",
        help="split of the data (default: of folders val, validation or test, of records "
        "validation, of tfds test or validation); of tfds also parts, as in test[:100]",
    )
    command.add_argument(
        "--data-dir", metavar="FOLDER", help="folder of tfds data sets (default: tfds' own)"
    )
    command.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="number of images at most, evenly spread (default: all)",
    )
    command.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        default=BATCH_SIZE,
        help="number of images that a classifier takes at once (default: %(default)s)",
    )
    command.add_argument(
        "--skip-broken", action="store_true", help="skip images that cannot be read, and count them"
    )
    command.add_argument(
        "--reduce-zero-label",
        action="store_true",
        help="take 0 in masks for no class, and count classes from 1, as in ADE20K's files",
    )


def evaluate(options: argparse.Namespace) -> None:
    """Measures a model on images whose classes or masks are known."""
    measured = evaluating.evaluate(
        options.source,
        size=options.size,
        labels=options.labels,
        tiles=options.tiles,
        report=options.report,
        overwrite=options.overwrite,
        **data_options(options),
    )
    if options.json:
        skipped = {"skipped": len(measured.skipped)} if options.skip_broken else {}
        classes = {"classes": measured.class_figures()} if options.per_class else {}
        print(json_text(measured.to_dict() | skipped | classes))
        return
    for line in measured.class_lines() if options.per_class else []:
        print(line)
    print(measured.summary())
    if options.report:
        names = ", ".join(sorted(path.name for path in Path(options.report).iterdir()))
        print(f"{options.report}: {names}")


def data_options(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what `add_data_options` reads, as arguments of `evaluate` in Python."""
    return {name: getattr(options, name) for name in _DATA_OPTIONS}
