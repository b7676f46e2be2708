"""The subcommand `evaluate`."""

import argparse
import os
import sys
from pathlib import Path

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_overrides,
    positive,
    print_note,
)
from keras_poolformer.data.splits.opening import open_labeled
from keras_poolformer.evaluation.measurement import BATCH_SIZE, Measurement
from keras_poolformer.evaluation.measurement import measure as measure_images
from keras_poolformer.evaluation.report import REPORT, class_figures, write_report
from keras_poolformer.evaluation.scorer import open_scorer
from keras_poolformer.models.overrides import Size
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import json_text, printable
from keras_poolformer.support.progress import Progress

SHOWN_BROKEN = 5  # names of images
TOP_NAMES = {"top-1": "top1", "top-5": "top5"}  # what people call the figures


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "evaluate",
        evaluate,
        "measure top-1 and top-5 accuracy, in percent, on class folders, records or a data set of "
        "tensorflow-datasets",
        "evaluate s12.tflite --data photos/  (where photos/ holds cat/1.jpg, dog/7.png, ...)",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    add_data_options(command, required=True)
    add_overrides(command)
    command.add_argument(
        "--per-class", action="store_true", help="print the accuracy of each class, too"
    )
    command.add_argument(
        "--report",
        metavar="FOLDER",
        help="folder to write a report to: accuracy of each class, confusion matrix with a "
        "picture, mistakes",
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing report")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")


def add_data_options(command: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds the options for the images that accuracy is measured on."""
    command.add_argument(
        "--data",
        required=required,
        metavar="FOLDER|NAME",
        help="images to measure on, whatever train takes: class folders, named by label or number; "
        "a folder of splits; records of `prepare`, also at gs://; or a tfds data set, "
        "NAME[/CONFIG][:VERSION]",
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
        help="number of images at once (default: %(default)s)",
    )
    command.add_argument(
        "--skip-broken", action="store_true", help="skip images that cannot be read, and count them"
    )


def evaluate(options: argparse.Namespace) -> None:
    """Measures accuracy on labeled images."""
    if options.report:
        refuse_existing(options.report, options.overwrite, REPORT)
    progress = Progress([f"loading {options.source}", f"classifying the images of {options.data}"])
    measured = measure(options, options.source, progress, options.size, options.labels)
    progress.finish()
    answers = measured.accuracy.answers
    if options.report:
        with replacing(options.report, options.overwrite, REPORT) as folder:
            folder.mkdir()
            write_report(folder, answers, measured.images, measured.labels)
    _print_notes(measured)
    classes = class_figures(answers, measured.labels) if options.per_class else []
    result = measured.accuracy.to_dict()
    if options.json:
        skipped = {"skipped": len(measured.skipped)} if options.skip_broken else {}
        print(json_text(result | skipped | ({"classes": classes} if options.per_class else {})))
        return
    for figures in classes:
        share = f"{figures['top1']:6.2f} % of {figures['images']:,}"
        print(f"{share:18}  {printable(figures['label'])}")
    shares = [f"{name} {result[key]:.2f} %" for name, key in TOP_NAMES.items() if key in result]
    print(f"{result['images']:,} images: {', '.join(shares)}")
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
) -> Measurement:
    """Measures the accuracy of one model.

    Args:
        options: What `add_data_options` reads.
        source: Source of the model.
        progress: Progress of the command, two steps of which are begun.
        size: Size of the images instead of the source's, or None.
        labels: Text file of class names instead of the source's, or None.
    """
    images = open_labeled(options.data, options.split, options.data_dir, print_note)
    progress.start()
    scorer = open_scorer(source, os.cpu_count() or 1, size, labels)
    progress.start()
    return measure_images(
        scorer,
        images,
        options.limit,
        options.batch_size,
        options.skip_broken,
        progress.advance,
    )
