"""Folders of images and masks to train on: ROOT/images/[split/]1.jpg, ROOT/masks/[split/]1.png."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.masks import (
    LABELS,
    MaskedImage,
    find_masked_images,
    image_folders,
    training_folder,
)
from keras_poolformer.data.split_folders import evaluation_folder
from keras_poolformer.data.splits.folder_split import FolderSplit
from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.data.targets import MaskTarget
from keras_poolformer.images.formats import is_image_file
from keras_poolformer.labels import read_labels
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedFolderSplit(FolderSplit):
    """Image files with a mask each; `targets` are the paths of the masks: string (all files,)."""

    def _target(self, raw: tf.Tensor) -> tf.Tensor:
        return tf.io.read_file(tf.gather(self.targets, raw))

    def describe_target(self, number: int) -> str:
        """See `Split.describe_target`."""
        return os.fsdecode(self.targets[self.numbers[number]].numpy())


def open_masked_folders(
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    reduce_zero_label: bool = False,
    note: Callable[[str], None] | None = None,
) -> tuple[MaskedFolderSplit, MaskedFolderSplit | None]:
    """Opens a folder of images and masks.

    Args:
        root: Folder with `images` and `masks` (or `annotations`), which may hold folders `train`
            (or `training`) and `val`, `validation` or `test`.
        class_names: Names of the classes where ROOT/labels.txt does not have them, one a line.
        reduce_zero_label: Whether 0 stands for no class in the files, and classes count from 1.
        note: Function to call with a line about files that are skipped, or None.

    Returns:
        (split to train on; split to evaluate on, or None).

    Raises:
        InputError: There are no such folders or no names of classes, an image does not have one
            mask, or is in no split.
    """
    images, _ = image_folders(root)
    names = _class_names(Path(root), class_names)
    target = MaskTarget(len(names), reduce_zero_label)

    def opened(split: str | None) -> MaskedFolderSplit:
        name = str(images / split if split else root)
        return _opened(name, names, target, find_masked_images(root, split, note))

    training = training_folder(root)
    if training is None:
        return opened(None), None
    for path in sorted(images.glob("[!.]*")):
        if path.is_file() and is_image_file(path):
            raise InputError(f"{path} is in no split: images must be in the folders of the splits")
    evaluation = evaluation_folder(images)
    return opened(training), opened(evaluation.name) if evaluation else None


def _class_names(root: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    path = root / LABELS
    if path.exists():
        return checked_class_names(read_labels(path), f"{path}:")
    if given:
        return checked_class_names(list(given), "`class_names`")
    raise InputError(
        f"the classes of the masks in {root} need names: write them to {path}, one a line, in the "
        "order of their numbers. Received: no such file"
    )


def _opened(
    name: str, class_names: tuple[str, ...], target: MaskTarget, pairs: Sequence[MaskedImage]
) -> MaskedFolderSplit:
    # Eager and on the host, so that graphs refer to the tensors instead of copying them.
    with tf.init_scope(), tf.device("CPU:0"):
        return MaskedFolderSplit(
            name=name,
            target=target,
            class_names=class_names,
            num_examples=len(pairs),
            paths=tf.constant([os.fsencode(pair.image) for pair in pairs]),
            targets=tf.constant([os.fsencode(pair.mask) for pair in pairs]),
            numbers=np.arange(len(pairs), dtype=np.int64),
        )
