"""Writes images as records in one call, as `keras-poolformer prepare` does."""

import os
from collections.abc import Sequence

from keras_poolformer.data.splits.in_memory import ImageData, Pairs, name_of
from keras_poolformer.data.splits.opening import open_images
from keras_poolformer.data.splits.record_description import Description
from keras_poolformer.data.splits.resized import Resized
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
    max_side: int | None = None,
    short_side: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> Description:
    """Writes images with a class or a mask each as TFRecords, to train from.

    Every image is decoded once, as a check. Images stay the files that they are, unless a side
    is given: then larger ones are resized (bicubic with antialiasing, masks to the nearest pixel)
    and written upright as JPEGs, masks as PNGs.

    Args:
        data: Images to write, all that `keras_poolformer.train` takes.
        output: Folder to write, which may be gs://.
        validation_data: Images in memory to evaluate on, next to those in `data`.
        class_names: Class names in the order of the labels, for images in memory and for masks
            whose data do not have them; selects the masks of a tfds data set.
        num_shards: Number of files of the training split; None for about 1,250 images in each.
        data_dir: Folder of tfds data sets; None for tfds' own.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.
        max_side: Length in pixels that the longer side of images is reduced to, or None.
        short_side: Length in pixels that the shorter side is reduced to, or None.
        quality: Quality of the JPEGs of resized images, 1 to 100; None for 90.
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
    resized = _resized(max_side, short_side, quality)
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
    written = write_records(splits, output, num_shards, progress.advance, overwrite, resized)
    progress.finish()
    return written


def _resized(max_side: int | None, short_side: int | None, quality: int | None) -> Resized | None:
    if max_side is None and short_side is None:
        if quality is not None:
            raise InputError(
                "`quality` is of images that `max_side` or `short_side` makes smaller, and neither "
                f"is given. Received: quality={quality!r}"
            )
        return None
    given = {} if quality is None else {"quality": quality}
    return Resized(max_side=max_side, short_side=short_side, **given)
