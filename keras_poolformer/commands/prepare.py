"""The subcommand `prepare`: images with a class or a mask each as TFRecords, to train from."""

import argparse

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_output,
    positive,
)
from keras_poolformer.data.splits import preparing
from keras_poolformer.data.splits.record_description import DESCRIPTION
from keras_poolformer.labels import read_labels


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "prepare",
        prepare,
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
    side = command.add_mutually_exclusive_group()
    side.add_argument(
        "--max-side",
        type=positive,
        metavar="N",
        help="resize larger images, and their masks, so that the longer side has N pixels",
    )
    side.add_argument(
        "--short-side",
        type=positive,
        metavar="N",
        help="resize larger images, and their masks, so that the shorter side has N pixels",
    )
    command.add_argument(
        "--quality",
        type=positive,
        metavar="Q",
        help="quality of the JPEGs of resized images, 1 to 100 (default: 90)",
    )
    add_output(command, "folder to write, which may be gs://")


def prepare(options: argparse.Namespace) -> None:
    """Writes the records of a folder or a tfds data set; every image is checked."""
    written = preparing.prepare(
        options.data,
        options.output,
        class_names=read_labels(options.labels) if options.labels else None,
        num_shards=options.shards,
        data_dir=options.data_dir,
        reduce_zero_label=options.reduce_zero_label,
        max_side=options.max_side,
        short_side=options.short_side,
        quality=options.quality,
        overwrite=options.overwrite,
    )
    if options.json:
        print(written.to_json(), end="")
        return
    print(f"{options.output}: {len(written.class_names)} classes, described by {DESCRIPTION}")
    if written.resized:
        print(f"larger images resized to {written.resized}")
    for name, files in written.splits.items():
        examples, size = sum(file.examples for file in files), sum(file.bytes for file in files)
        print(f"{name:10}  {examples:,} images in {len(files)} files, {size / 1e6:.1f} MB")
