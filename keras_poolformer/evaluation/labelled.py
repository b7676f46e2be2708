"""Labelled images to evaluate on: class folders, records, or a data set of tensorflow-datasets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_poolformer.data import folders
from keras_poolformer.data.split_folders import find_split
from keras_poolformer.data.splits.record_description import DESCRIPTION
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes.

    Args:
        examples: Pairs (path or `EncodedImage`, class index of the model); an image is read when
            it is asked for.
        total: Number of examples.
        note: What people should know of how classes were matched, or "".
    """

    examples: Iterable[tuple[Any, int]]
    total: int
    note: str = ""


Labeller = Callable[[Any], LabelledImages]


def open_labelled(
    data: str,
    split: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Labeller:
    """Finds images to evaluate on, before a model is loaded.

    Args:
        data: Whatever `train` takes: folder of splits, of class folders or of records, address of
            records, or name of a tfds data set.
        split: Name of the split to use; None for the one that `train` evaluates on.
        data_dir: Folder of tfds data sets, where `data` is the name of one.
        limit: Number of images at most, evenly spread; None for all.
        note: Function to call with a line about files in folders that are left out, or None.

    Returns:
        A function from a scorer, with its `labels` and `num_classes`, to `LabelledImages`.

    Raises:
        InputError: There are no such data.
        MissingExtraError: A package that reads them is not installed.
    """
    is_address = "://" in data
    if not is_address and not Path(data).exists():
        return _of_tfds(data, split, data_dir, limit)
    if data_dir is not None:
        raise InputError(f"--data-dir goes with a tfds data set. Received: {data}, a path")
    if is_address or (Path(data) / DESCRIPTION).exists():
        return _of_records(data, split, limit)
    class_folders = find_split(data, split, note)

    def labelled(scorer):
        examples = folders.label_images(class_folders, scorer.labels, scorer.num_classes)
        examples = folders.spread(examples, limit)
        return LabelledImages(examples, len(examples))

    return labelled


def _of_records(data, split, limit):
    from keras_poolformer.data.splits.records import open_records_split

    return _of_stored(open_records_split(data, split), data, limit)


def _of_tfds(data, split, data_dir, limit):
    from keras_poolformer.data.splits.tfds_source import open_split

    return _of_stored(open_split(data, split, data_dir), data, limit)


def _of_stored(split, data, limit):
    """The same for images that are stored with the numbers of their own classes."""

    def labelled(scorer):
        indices, by_position = split.class_indices(scorer.labels, scorer.num_classes)
        total = len(folders.spread(range(split.num_examples), limit))
        label = scorer.labels[0] if scorer.labels else 0
        note = (
            f"the classes of {data} are taken for the model's by number, not by name: "
            f"{split.class_names[0]!r} for {label!r}, and so on"
        )
        return LabelledImages(split.examples(indices, limit), total, note if by_position else "")

    return labelled
