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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from keras_poolformer.data.folders import ClassFolders
from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.data.masked import MaskedImages, open_masked_folder
from keras_poolformer.data.masks import has_masks
from keras_poolformer.data.split_folders import find_split
from keras_poolformer.data.splits.data_kind import DataKind, data_kind
from keras_poolformer.data.splits.in_memory import (
    ImageData,
    Pairs,
    images_to_evaluate,
    is_in_memory,
    name_of,
)
from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.support.errors import InputError

if TYPE_CHECKING:
    from keras_poolformer.data.splits.split import Split

Note = Callable[[str], None]
_WANTED = {
    "label": "class folders or other images with a class each, as classifiers need them",
    "mask": "folders of images and masks or other images with a mask each, as segmenters need them",
}


class Splits(NamedTuple):
    """Images with a class or a mask each, to train on.

    Attributes:
        training: Split to train on.
        evaluation: Split to evaluate on while training, or None if the data have none.
    """

    training: "Split"
    evaluation: "Split | None"


def open_splits(
    data: ImageData,
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
    *,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
) -> Splits:
    """Opens images with a class each, to train a classifier on.

    Args:
        data: Folder ROOT/split/label/image, where the splits are `train` and perhaps `val`,
            `validation` or `test`; folder ROOT/label/image; folder or address (gs://...) of
            records that `keras-poolformer prepare` wrote; `NAME[/CONFIG][:VERSION]` of a data
            set of tensorflow-datasets, of which `train` and `validation`, else `test`, are taken;
            or images in memory: (uint8 (N, H, W, 3), whole numbers (N,)), or a tf.data.Dataset of
            (image, label), single or in batches.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        note: Function to call with a line about files in folders that are skipped, or None.
        validation_data: Images in memory to evaluate on, next to those in `data`; or None.
        class_names: Class names of images in memory, in the order of the labels; their numbers if
            None.

    Raises:
        InputError: There are no such data, they are not images with a class each, or the name of
            a class is not valid.
        MissingExtraError: tensorflow-datasets is needed and not installed.
    """
    kind = data_kind(data, data_dir, validation_data=validation_data, class_names=class_names)
    if is_in_memory(data):
        from keras_poolformer.data.splits import memory_split

        splits = memory_split.open_images(data, validation_data, class_names)
    elif kind is DataKind.FOLDERS:
        from keras_poolformer.data.splits.folder_split import open_folders

        _check_target(data, _target_of_folder(data), "label")
        splits = open_folders(data, note)
    elif kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records

        splits = open_records(data)
    else:
        from keras_poolformer.data.splits.tfds_split import open_tfds

        splits = open_tfds(str(data), data_dir)
    _check_target(data, splits[0].target.name, "label")
    checked_class_names(splits[0].class_names, f"the class names of {name_of(data)}")
    return Splits(*splits)


def open_masked_splits(
    data: ImageData,
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
    *,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
    reduce_zero_label: bool = False,
) -> Splits:
    """Opens images with a mask each, to train a segmenter on.

    Args:
        data: Folder with `images` and `masks` (or `annotations`), which may hold folders `train`
            and perhaps `val`, `validation` or `test`; records that `keras-poolformer prepare`
            wrote of such a folder; the name of a data set of tensorflow-datasets whose masks
            are images, such as scene_parse150; or images in memory, as in `open_splits`, with
            masks (N, H, W) in the place of labels.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        note: Function to call with a line about files in folders that are skipped, or None.
        validation_data: Images in memory to evaluate on, next to those in `data`; or None.
        class_names: Class names in the order of the labels, where the data do not have them: a
            folder may have them in ROOT/labels.txt, one a line, and records always do.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1,
            as in ADE20K. Records know it.

    Raises:
        InputError: There are no such data, an image does not have one mask, or the classes have
            no names.
        MissingExtraError: tensorflow-datasets is needed and not installed.
    """
    kind = data_kind(data, data_dir, validation_data=validation_data)
    if is_in_memory(data):
        from keras_poolformer.data.splits import memory_split

        splits = memory_split.open_images(data, validation_data, class_names, reduce_zero_label)
    elif kind is DataKind.FOLDERS:
        from keras_poolformer.data.splits.masked_folders import open_masked_folders

        splits = open_masked_folders(data, class_names, reduce_zero_label, note)
    elif kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records

        splits = open_records(data, reduce_zero_label)
    else:
        from keras_poolformer.data.splits.tfds_split import open_masked_tfds

        splits = open_masked_tfds(str(data), data_dir, class_names, reduce_zero_label)
    _check_target(data, splits[0].target.name, "mask")
    return Splits(*splits)


def open_images(
    data: ImageData,
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
    *,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
    reduce_zero_label: bool = False,
) -> Splits:
    """Opens images with a class or a mask each, whichever they have.

    A tfds data set has masks where `class_names` or `reduce_zero_label` is given.

    Args:
        data: What `open_splits` and `open_masked_splits` take.
        data_dir: As there.
        note: As there.
        validation_data: As there.
        class_names: As there.
        reduce_zero_label: As there.

    Raises:
        InputError: As there.
        MissingExtraError: As there.
    """
    kind = data_kind(data, data_dir, validation_data=validation_data)
    if is_in_memory(data):
        from keras_poolformer.data.splits import memory_split

        pairs = data, validation_data
        return Splits(*memory_split.open_images(*pairs, class_names, reduce_zero_label))
    if class_names or reduce_zero_label or _has_masks(data, kind):
        return open_masked_splits(
            data, data_dir, note, class_names=class_names, reduce_zero_label=reduce_zero_label
        )
    return open_splits(data, data_dir, note)


def _has_masks(data: str | os.PathLike[str], kind: DataKind) -> bool:
    if kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records

        return open_records(data)[0].target.name == "mask"
    return kind is DataKind.FOLDERS and has_masks(data)


def _target_of_folder(folder: str | os.PathLike[str]) -> str:
    return "mask" if has_masks(folder) else "label"


def _check_target(data: ImageData, found: str, wanted: str) -> None:
    """Rejects images with a mask each where classes are needed, and the other way round."""
    if found != wanted:
        raise InputError(
            f"{name_of(data)} must hold {_WANTED[wanted]}. Received: images with a {found} each"
        )


def open_labeled(
    data: ImageData,
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    note: Note | None = None,
    reduce_zero_label: bool = False,
    class_names: Sequence[str] | None = None,
) -> LabeledImages | MaskedImages:
    """Opens images with a class each, or with masks, to evaluate on; no image is read yet.

    Args:
        data: What `open_splits` takes, or a folder of images and masks.
        split: Name of the split; None for the default, as the module's docstring has it.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        note: Function to call with a line about files in folders that are skipped, or None.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.
        class_names: Class names of images in memory, in the order of the labels; None if they have
            the model's numbers.

    Raises:
        InputError: There are no such data, or no such split; or `reduce_zero_label` goes with
            images without masks.
        MissingExtraError: A package that reads them is not installed.
    """
    images = _labeled(data, split, data_dir, note, reduce_zero_label, class_names)
    if reduce_zero_label and not isinstance(images, MaskedImages):
        raise InputError(
            f"--reduce-zero-label goes with masks. Received: {name_of(data)}, without masks"
        )
    return images


def _labeled(
    data: ImageData,
    split: str | None,
    data_dir: str | os.PathLike[str] | None,
    note: Note | None,
    reduce_zero_label: bool,
    class_names: Sequence[str] | None,
) -> LabeledImages | MaskedImages:
    kind = data_kind(data, data_dir, class_names=class_names)
    if is_in_memory(data):
        if split is not None:
            raise InputError("--split goes with data that have splits. Received: data in memory")
        return images_to_evaluate(data, class_names, reduce_zero_label)
    if kind is DataKind.TFDS:
        from keras_poolformer.data.splits.tfds_split import open_tfds_images

        return open_tfds_images(str(data), split, data_dir, reduce_zero_label)
    if kind is DataKind.RECORDS:
        from keras_poolformer.data.splits.records import open_records_images

        return open_records_images(data, split, reduce_zero_label)
    if has_masks(data):
        return open_masked_folder(data, split, note, reduce_zero_label)
    return ClassFolders(find_split(data, split, note))
