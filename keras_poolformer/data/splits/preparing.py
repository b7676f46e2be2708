"""Writes images as records in one call, as `keras-poolformer prepare` does."""

import os
from collections.abc import Sequence

from keras_poolformer.data.splits.in_memory import ImageData, Pairs, name_of
from keras_poolformer.data.splits.opening import open_images
from keras_poolformer.data.splits.record_description import Description
from keras_poolformer.support.errors import FRAMEWORK, InputError, require_packages
from keras_poolformer.support.progress import Progress, print_note


def prepare(
    data: ImageData,
    output: str | os.PathLike[str],
    *,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
    num_shards: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    reduce_zero_label: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
) -> Description:
    """Writes images with a class or a mask each as TFRecords, to train from.

    Every image is decoded once, as a check, and images stay the files that they are.

    Args:
        data: Images to write, all that `keras_poolformer.train` takes.
        output: Folder to write, which may be gs://.
        validation_data: Images in memory to evaluate on, next to those in `data`.
        class_names: Class names in the order of the labels, for images in memory and for masks
            whose data do not have them; selects the masks of a tfds data set.
        num_shards: Number of files of the training split; None for about 1,250 images in each.
        data_dir: Folder of tfds data sets; None for tfds' own.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.
        overwrite: Whether records that are there may be replaced.
        verbose: Whether progress is printed on stderr.

    Returns:
        What was written: class names, and the files of each split with their numbers of examples
        and bytes.

    Raises:
        InputError: The data cannot be used (the first 20 wrong examples are named), or `output`
            cannot be written.
        MissingExtraError: A package is not installed.
    """
    require_packages(FRAMEWORK)
    from keras_poolformer.data.splits.record_writer import refuse_unwritable, write_records

    output = os.fspath(output)
    if name_of(data).rstrip("/") == output.rstrip("/"):
        raise InputError(f"the output must be another path than the data. Received: {output}")
    if num_shards is not None and num_shards < 1:
        raise InputError(f"`num_shards` must be at least 1. Received: {num_shards}")
    refuse_unwritable(output, overwrite)
    progress = Progress([f"opening {name_of(data)}", f"writing {output}"], shown=verbose)
    progress.start()
    splits = open_images(
        data,
        data_dir,
        print_note if verbose else None,
        validation_data=validation_data,
        class_names=class_names,
        reduce_zero_label=reduce_zero_label,
    )
    progress.start()
    written = write_records(splits, output, num_shards, progress.advance, overwrite)
    progress.finish()
    return written
