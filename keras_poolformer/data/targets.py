"""What a model learns to predict: the class of an image, or the mask that belongs to it.

A `Split` has a target; what pipelines, validation and records do with the examples depends on it.
"""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import tensorflow as tf

from keras_poolformer.data.augmentation.augment import Augmentation, augment
from keras_poolformer.data.augmentation.segmentation import (
    SegmentationAugmentation,
    augment_with_mask,
)
from keras_poolformer.data.decoding import decode
from keras_poolformer.data.masks import MaskError, read_mask
from keras_poolformer.images import graph, mmseg_graph
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.support.errors import ImageError, InputError

PADDING_LABEL = -1
Example: TypeAlias = dict[str, tf.Tensor]  # as `Split.load` returns it
Pair: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # an image, prepared, and its target


@dataclass(frozen=True)
class Target(abc.ABC):
    """What belongs to each image of a split.

    Args:
        num_classes: Number of classes.

    Attributes:
        name: Name of the target in an example, in records and in errors.
        dtype: Its dtype there.
        augmentation: Class of the augmentations for such examples.
    """

    num_classes: int
    name: ClassVar[str]
    dtype: ClassVar[tf.DType]
    augmentation: ClassVar[type]

    def check_augmentation(self, options: object) -> None:
        """Rejects the augmentation of another target.

        Raises:
            InputError: It is not an `augmentation`.
        """
        if not isinstance(options, self.augmentation):
            raise InputError(
                f"the augmentation of images with a {self.name} each must be of type "
                f"{self.augmentation.__name__}. Received: {type(options).__name__}"
            )

    @abc.abstractmethod
    def augmented(self, options: Any, example: Example, seed: tf.Tensor) -> Pair:
        """Augments an example; for `Dataset.map`.

        Args:
            options: An `augmentation`.
            example: Image file and target.
            seed: int64 (2,).
        """

    @abc.abstractmethod
    def transformed(self, transform: ImageTransform, example: Example) -> Pair:
        """Prepares an example for evaluation; for `Dataset.map`.

        Args:
            transform: Preprocessing of the image, with an `output_shape`.
            example: Image file and target.
        """

    @abc.abstractmethod
    def padding(self, shape: tuple[int, int]) -> tf.Tensor:
        """Returns the target of an image that is none, of this (height, width)."""

    @property
    @abc.abstractmethod
    def requirement(self) -> str:
        """What targets must be like, to follow "3 masks of FOLDER" in an error."""

    @abc.abstractmethod
    def problem(self, example: Example, pixels: tf.Tensor) -> tf.Tensor:
        """Returns what is wrong with a target, to follow its name: a scalar string, or empty.

        Args:
            example: Image file and target.
            pixels: uint8 (H, W, 3). The decoded image.
        """


@dataclass(frozen=True)
class ClassTarget(Target):
    """One class for each image: int64 scalars."""

    name: ClassVar[str] = "label"
    dtype: ClassVar[tf.DType] = tf.int64
    augmentation: ClassVar[type] = Augmentation

    def augmented(self, options: Augmentation, example: Example, seed: tf.Tensor) -> Pair:
        """See `Target.augmented`; of a JPEG only the crop is decoded."""
        return augment(options, example["image"], seed), example[self.name]

    def transformed(self, transform: ImageTransform, example: Example) -> Pair:
        """See `Target.transformed`."""
        return graph.transform(transform, decode(example["image"])), example[self.name]

    def padding(self, shape: tuple[int, int]) -> tf.Tensor:
        """See `Target.padding`: -1."""
        del shape
        return tf.constant(PADDING_LABEL, tf.int64)

    @property
    def requirement(self) -> str:
        """See `Target.requirement`."""
        return f"must be 0 to {self.num_classes - 1}"

    def problem(self, example: Example, pixels: tf.Tensor) -> tf.Tensor:
        """See `Target.problem`."""
        del pixels
        label = example[self.name]
        text = tf.strings.join(("has ", tf.strings.as_string(label)))
        return tf.where((label >= 0) & (label < self.num_classes), "", text)


@dataclass(frozen=True)
class MaskTarget(Target):
    """The class of each pixel: int32 (H, W), 255 where there is none; a file in an example.

    Args:
        reduce_zero_label: Whether 0 stands for no class, and classes count from 1, as in ADE20K's
            files.
    """

    reduce_zero_label: bool = False
    name: ClassVar[str] = "mask"
    dtype: ClassVar[tf.DType] = tf.string
    augmentation: ClassVar[type] = SegmentationAugmentation

    def augmented(
        self, options: SegmentationAugmentation, example: Example, seed: tf.Tensor
    ) -> Pair:
        """See `Target.augmented`."""
        pixels = decode(example["image"])
        return augment_with_mask(options, pixels, self._mask(example, pixels), seed)

    def transformed(self, transform: ImageTransform, example: Example) -> Pair:
        """See `Target.transformed`; the mask is resized to the size of the result."""
        pixels = decode(example["image"])
        sides = tf.constant(transform.output_shape)
        mask = mmseg_graph.resize_nearest(self._mask(example, pixels), sides)
        image = graph.transform(transform, pixels)
        return image, tf.ensure_shape(mask, transform.output_shape)

    def padding(self, shape: tuple[int, int]) -> tf.Tensor:
        """See `Target.padding`: 255 everywhere."""
        return tf.fill(shape, IGNORED_LABEL)

    @property
    def requirement(self) -> str:
        """See `Target.requirement`."""
        first = int(self.reduce_zero_label)
        labels = f"labels {first} to {self.num_classes - 1 + first} or {IGNORED_LABEL}"
        hint = "" if first else " (where classes count from 1, set reduce_zero_label)"
        return f"must have the size of their image, and {labels}{hint}"

    def problem(self, example: Example, pixels: tf.Tensor) -> tf.Tensor:
        """See `Target.problem`."""
        return self._on_host(self._problem_of, example, pixels, tf.string)

    def _mask(self, example: Example, pixels: tf.Tensor) -> tf.Tensor:
        mask = self._on_host(self._read, example, pixels, tf.int32)
        return tf.ensure_shape(mask, (None, None))

    def _on_host(self, function: Any, example: Example, pixels: tf.Tensor, dtype: Any) -> tf.Tensor:
        """Calls a function of the mask's file and of the image's (height, width)."""
        arguments = [example[self.name], tf.shape(pixels)[:2]]
        return tf.numpy_function(function, arguments, dtype, stateful=False)

    def _read(self, content: bytes, sides: np.ndarray) -> np.ndarray:
        size = int(sides[0]), int(sides[1])
        source = EncodedImage(content, "the mask")
        mask = read_mask(source, size, self.num_classes, self.reduce_zero_label)
        return mask.astype(np.int32)

    def _problem_of(self, content: bytes, sides: np.ndarray) -> bytes:
        try:
            self._read(content, sides)
        except MaskError as error:
            return error.finding.encode()
        except ImageError as error:
            return f"cannot be read ({error})".encode()
        return b""
