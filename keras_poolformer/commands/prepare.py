"""The subcommand `prepare`: images with a class or a mask each as TFRecords, to train from."""

import argparse
from typing import TYPE_CHECKING

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_output,
    positive,
)
from keras_poolformer.labels import read_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress, print_note

if TYPE_CHECKING:
    from keras_poolformer.data.splits.opening import Splits


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "prepare",
        prepare,
        "write a folder of images or a tfds data set as TFRecords, to train from",
        "prepare photos/ -o gs://bucket/photos",
    )
    command.add_argument(
        "data",
        metavar="FOLDER|NAME",
        help="images to write: a folder ROOT/train/label/image or ROOT/label/image, a folder of "
        "images and masks, records, or a tfds data set",
    )
    command.add_argument(
        "--shards",
        type=positive,
        metavar="N",
        help="number of files of the training split (default: about 1,250 images in each)",
    )
    command.add_argument(
        "--data-dir", metavar="FOLDER", help="folder of tfds data sets (default: tfds' own)"
    )
    command.add_argument(
        "--labels",
        metavar="FILE",
        help="class names of masks, one a line, where the data do not have them in labels.txt; "
        "selects the masks of a tfds data set",
    )
    command.add_argument(
        "--reduce-zero-label",
        action="store_true",
        help="take 0 in masks for no class, and count classes from 1",
    )
    add_output(command, "folder to write, which may be gs://")


def _opened(options: argparse.Namespace) -> "Splits":
    from keras_poolformer.data.splits.opening import holds_masks, open_masked_splits, open_splits

    place = options.data, options.data_dir
    if not (options.labels or options.reduce_zero_label or holds_masks(*place)):
        return open_splits(*place, print_note)
    return open_masked_splits(
        *place,
        print_note,
        class_names=read_labels(options.labels) if options.labels else None,
        reduce_zero_label=options.reduce_zero_label,
    )


def prepare(options: argparse.Namespace) -> None:
    """Writes the records of a folder or a tfds data set; every image is checked."""
    from keras_poolformer.data.splits.record_description import DESCRIPTION
    from keras_poolformer.data.splits.record_writer import refuse_unwritable, write_records

    if options.data.rstrip("/") == options.output.rstrip("/"):
        raise InputError(f"the output must be another path than the data. Received: {options.data}")
    refuse_unwritable(options.output, options.overwrite)
    progress = Progress([f"opening {options.data}", f"writing {options.output}"])
    progress.start()
    splits = _opened(options)
    progress.start()
    written = write_records(
        splits, options.output, options.shards, progress.advance, options.overwrite
    )
    progress.finish()
    if options.json:
        print(written.to_json(), end="")
        return
    print(f"{options.output}: {len(written.class_names)} classes, described by {DESCRIPTION}")
    for name, files in written.splits.items():
        examples, size = sum(file.examples for file in files), sum(file.bytes for file in files)
        print(f"{name:10}  {examples:,} images in {len(files)} files, {size / 1e6:.1f} MB")
