"""The subcommand `evaluate`."""

import argparse
import os
import sys
from pathlib import Path

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_overrides,
    add_tiles,
    positive,
    print_note,
)
from keras_poolformer.data.splits.opening import open_labeled
from keras_poolformer.evaluation.classification import BATCH_SIZE
from keras_poolformer.evaluation.measurement import Measurement
from keras_poolformer.evaluation.measuring import measure as measure_images
from keras_poolformer.evaluation.opening import open_network
from keras_poolformer.evaluation.report import REPORT
from keras_poolformer.models.overrides import Size
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

SHOWN_BROKEN = 5  # names of images


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "evaluate",
        evaluate,
        "measure top-1 and top-5 accuracy, or mIoU of a segmenter, in percent, on class folders, "
        "images with masks, records or a data set of tensorflow-datasets",
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
    if options.report:
        refuse_existing(options.report, options.overwrite, REPORT)
    progress = Progress([f"loading {options.source}", f"measuring on the images of {options.data}"])
    measured = measure(
        options, options.source, progress, options.size, options.labels, options.tiles
    )
    progress.finish()
    if options.report:
        with replacing(options.report, options.overwrite, REPORT) as folder:
            folder.mkdir()
            measured.write_report(folder)
    _print_notes(measured)
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


def _print_notes(measured: Measurement) -> None:
    if measured.note:
        print(measured.note, file=sys.stderr)
    if skipped := measured.skipped:
        more = f" and {len(skipped) - SHOWN_BROKEN} more" if len(skipped) > SHOWN_BROKEN else ""
        names = ", ".join(skipped[:SHOWN_BROKEN])
        print(f"skipped {len(skipped)} broken images: {names}{more}", file=sys.stderr)


def measure(
    options: argparse.Namespace,
    source: str,
    progress: Progress,
    size: Size | None = None,
    labels: str | None = None,
    tiles: bool = False,
) -> Measurement:
    """Measures one model.

    Args:
        options: What `add_data_options` reads.
        source: Source of the model.
        progress: Progress of the command, two steps of which are begun.
        size: Size of the images instead of the source's, or None.
        labels: Text file of class names instead of the source's, or None.
        tiles: Whether a segmenter's .tflite file works through images in tiles.
    """
    images = open_labeled(
        options.data, options.split, options.data_dir, print_note, options.reduce_zero_label
    )
    progress.start()
    network = open_network(source, os.cpu_count() or 1, size, labels, tiles)
    progress.start()
    return measure_images(
        network,
        images,
        options.limit,
        options.batch_size,
        options.skip_broken,
        progress.advance,
    )
