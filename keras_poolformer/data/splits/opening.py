"""Labeled images by name: what `--data` is, and which split of it a command works on.

Training and evaluation take the same `--data`. They need other splits of it:

- `train` evaluates the model while it trains, chooses the best step and may stop by that, so it
  takes validation images where there are any, and test images only where there are not: of
  folders val, validation, test; of tfds validation, test.
- `evaluate` reports a figure for which nothing was chosen, so of tfds it takes test, then
  validation. Of a user's own folders and records it takes the split that `train` evaluates on,
  so that both figures compare; `--split` names another one.

Importing this module needs neither TensorFlow nor tensorflow-datasets, and evaluating on folders
needs neither.
"""

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keras_poolformer.data.folders import ClassFolders
from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.data.masked import MaskedImages, open_masked_folder
from keras_poolformer.data.masks import has_masks
from keras_poolformer.data.split_folders import find_split
from keras_poolformer.data.splits.record_description import (
    checked_class_names,
    description_path,
    is_address,
)
from keras_poolformer.support.errors import InputError

if TYPE_CHECKING:
    from keras_poolformer.data.splits.split import Split

Note = Callable[[str], None]


class Splits(NamedTuple):
    """Labeled images to train on.

    Attributes:
        training: Split to train on.
        evaluation: Split to evaluate on while training, or None if the data have none.
    """

    training: "Split"
    evaluation: "Split | None"


class DataKind(Enum):
    """What `--data` can be."""

    FOLDERS = "class folders, a folder of splits, or a folder of images and masks"
    RECORDS = "a folder or address of records, as `keras-poolformer prepare` writes them"
    TFDS = "a data set of tensorflow-datasets"


def data_kind(
    data: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> DataKind:
    """Infers what `data` is; a folder that exists takes precedence over a data set of its name.

    Args:
        data: Path, address (gs://...) or name.
        data_dir: Folder of tfds data sets, where one was given.

    Raises:
        InputError: `data_dir` was given with a path or an address.
    """
    if not is_address(data) and not Path(data).exists():
        return DataKind.TFDS
    if data_dir is not None:
        raise InputError(f"--data-dir goes with a tfds data set. Received: {data}, a path")
    if is_address(data) or Path(description_path(data)).exists():
        return DataKind.RECORDS
    return DataKind.FOLDERS


def open_splits(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
) -> Splits:
    """Opens labeled images to train on.

    Args:
        data: Folder ROOT/split/label/image, where the splits are `train` and perhaps `val`,
            `validation` or `test`; folder ROOT/label/image; folder or address (gs://...) of
            records that `keras-poolformer prepare` wrote; or NAME[/CONFIG][:VERSION] of a data
            set of tensorflow-datasets, of which `train` and `validation`, else `test`, are taken.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        note: Function to call with a line about files in folders that are skipped, or None.

    Raises:
        InputError: There are no such data, they are not images with a class each, or the name of
            a class is not valid.
        MissingExtraError: tensorflow-datasets is needed and not installed.
    """
    kind = data_kind(data, data_dir)
    if kind is DataKind.FOLDERS:
        from keras_poolformer.data.splits.folder_split import open_folders

        splits = open_folders(data, note)
    elif kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records

        splits = open_records(data)
    else:
        from keras_poolformer.data.splits.tfds_split import open_tfds

        splits = open_tfds(str(data), data_dir)
    checked_class_names(splits[0].class_names, f"the class names of {data}")
    return Splits(*splits)


def open_labeled(
    data: str | os.PathLike[str],
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
    reduce_zero_label: bool = False,
) -> LabeledImages | MaskedImages:
    """Opens images with a class each, or with masks, to evaluate on; no image is read yet.

    Args:
        data: What `open_splits` takes, or a folder of images and masks.
        split: Name of the split; None for the default, as the module's docstring has it.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        note: Function to call with a line about files in folders that are skipped, or None.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.

    Raises:
        InputError: There are no such data, or no such split; or `reduce_zero_label` goes with
            images without masks.
        MissingExtraError: A package that reads them is not installed.
    """
    kind = data_kind(data, data_dir)
    if kind is DataKind.FOLDERS and has_masks(data):
        return open_masked_folder(data, split, note, reduce_zero_label)
    if reduce_zero_label:
        raise InputError(f"--reduce-zero-label goes with masks. Received: {data}, without masks")
    if kind is DataKind.FOLDERS:
        return ClassFolders(find_split(data, split, note))
    if kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records_split

        return open_records_split(data, split)
    from keras_poolformer.data.splits.tfds_split import open_tfds_split

    return open_tfds_split(str(data), split, data_dir)
