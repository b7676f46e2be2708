"""Images in memory to train on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_poolformer.data.splits.folder_split import NumberedSplit
from keras_poolformer.data.splits.in_memory import (
    ImagesInMemory,
    Pairs,
    names_or_numbers,
    read_pairs,
)
from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.data.targets import ClassTarget, MaskTarget, Target
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class MemorySplit(NumberedSplit):
    """Image files in memory; the key of an example is its number.

    Args:
        images: string (all images,). Files.
        targets: int64 (all images,), their classes; or string (all images,), files of masks.
    """

    images: tf.Tensor
    targets: tf.Tensor

    def load(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Split.load`."""
        image, target = tf.gather(self.images, raw), tf.gather(self.targets, raw)
        return {"image": image, self.target.name: target, "key": raw}

    def describe(self, number: int) -> str:
        """See `Split.describe`."""
        return f"image {self.numbers[number]}"


def open_images(
    data: Pairs,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
    reduce_zero_label: bool = False,
) -> tuple[MemorySplit, MemorySplit | None]:
    """Opens images in memory with a class or a mask each.

    Args:
        data: Images to train on, as `read_pairs` takes them.
        validation_data: Images to evaluate on, or None.
        class_names: Class names in the order of the labels; None for the numbers of classes.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.

    Returns:
        (split to train on; split to evaluate on, or None).

    Raises:
        InputError: They cannot be used, or the classes of masks have no names.
    """
    parts = [read_pairs(part) for part in (data, validation_data) if part is not None]
    if len({part.target for part in parts}) > 1:
        raise InputError(
            "`data` and `validation_data` must both have classes or both have masks. Received: "
            f"a {parts[0].target} and a {parts[1].target}"
        )
    if parts[0].target == "label":
        if reduce_zero_label:
            raise InputError("`reduce_zero_label` goes with masks. Received: a label each")
        names = names_or_numbers(class_names, *parts)
        return _splits(parts, names, ClassTarget(len(names)))
    if class_names is None:
        raise InputError(
            "the classes of masks in memory need names: give `class_names`, in the order of their "
            "numbers. Received: class_names=None"
        )
    names = checked_class_names(list(class_names), "`class_names`")
    return _splits(parts, names, MaskTarget(len(names), reduce_zero_label))


def _splits(
    parts: Sequence[ImagesInMemory], names: tuple[str, ...], target: Target
) -> tuple[MemorySplit, MemorySplit | None]:
    splits = [_split(part, names, target) for part in parts]
    return splits[0], splits[1] if splits[1:] else None


def _split(data: ImagesInMemory, names: tuple[str, ...], target: Target) -> MemorySplit:
    # Eager and on the host, so that graphs refer to the tensors instead of copying them.
    with tf.init_scope(), tf.device("CPU:0"):
        masks = [mask.content for mask in data.masks]
        return MemorySplit(
            name=data.name,
            target=target,
            class_names=names,
            num_examples=len(data.images),
            images=tf.constant([image.content for image in data.images]),
            targets=tf.constant(masks) if masks else tf.constant(data.classes, tf.int64),
            numbers=np.arange(len(data.images), dtype=np.int64),
        )
