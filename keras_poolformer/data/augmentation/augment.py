"""The augmentation of one training image, as in timm's recipes.

In timm's order (timm/data/transforms_factory.py): random resized crop with random
interpolation, horizontal flip, RandAugment, normalization, random erasing.

It is our own code because no library has it: the layers of Keras draw from a state, per batch, and
have other operations; timm's are Python on Pillow, and feed a TPU only through processes. Here each
result is a function of a seed, inside tf.data, and decodes only the crop of a JPEG.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_poolformer.data.augmentation.options import (
    Normalization,
    checked_probability,
    checked_range,
)
from keras_poolformer.data.augmentation.randaugment import INTERPOLATIONS, RandAugment, rand_augment
from keras_poolformer.data.augmentation.rectangles import (
    RECTANGLE_DRAWS,
    crop_box,
    erased_rectangle,
)
from keras_poolformer.data.augmentation.resampling import resized_crop
from keras_poolformer.data.decoding import decode_known, is_exact, turn, turns
from keras_poolformer.data.image_header import JPEG, Header, read_header
from keras_poolformer.data.randomness import fold_in
from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD, ImageTransform
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image; the defaults are those of the ImageNet recipes.

    Args:
        size: Side of the square result in pixels.
        crop_scale: Range of the area of the crop, as a fraction of the image's.
        crop_ratio: Range of the aspect ratio of the crop, width over height.
        interpolation: "bilinear", "bicubic", or "random" for one of these each time.
        flip: Float between 0 and 1. Fraction of images that are mirrored.
        rand_augment: timm's configuration string of RandAugment; "" for none.
        erasing: Float between 0 and 1. Fraction of images in which a rectangle becomes noise.
        mean: Mean of each channel, of values from 0 to 1.
        std: Standard deviation of each channel, of values from 0 to 1.
        exif: Whether the EXIF orientation is applied; timm's data sets ignore it.

    Raises:
        InputError: An option has the wrong type or is out of range.
    """

    size: int = 224
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "random"
    flip: float = 0.5
    rand_augment: str = "rand-m9-mstd0.5-inc1"
    erasing: float = 0.25
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    exif: bool = True

    def __post_init__(self) -> None:
        checked = ImageTransform(size=self.size, mean=self.mean, std=self.std)
        values: dict[str, Any] = {name: getattr(checked, name) for name in ("size", "mean", "std")}
        values["crop_scale"] = checked_range("crop_scale", self.crop_scale, 1.0)
        values["crop_ratio"] = checked_range("crop_ratio", self.crop_ratio, math.inf)
        for name in ("flip", "erasing"):
            values[name] = checked_probability(name, getattr(self, name))
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"`interpolation` must be one of {', '.join(INTERPOLATIONS)}. "
                f"Received: {self.interpolation!r}"
            )
        if not isinstance(self.rand_augment, str):
            raise InputError(
                "`rand_augment` must be text such as 'rand-m9-mstd0.5-inc1', or '' for none. "
                f"Received: {self.rand_augment!r}"
            )
        if not isinstance(self.exif, bool):
            raise InputError(f"`exif` must be True or False. Received: {self.exif!r}")
        RandAugment.parse(self.rand_augment)  # rejects what is not valid
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def augment(options: Augmentation, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Decodes and augments one image; of a JPEG only the crop is decoded.

    Args:
        options: What happens to the image.
        encoded: Scalar string tensor. Content of an image file.
        seed: int32 or int64 (2,). The result is a function of it, of the options and the file.

    Returns:
        float32 (size, size, 3), normalized.

    Raises:
        tf.errors.InvalidArgumentError: When it runs: the image is corrupt, or the file is not an
            image.
    """
    # One call for all numbers: a call costs more than drawing them.
    draws = tf.random.stateless_uniform((2 * RECTANGLE_DRAWS + 3,), seed, alg="philox")
    crop, erased, rest = tf.split(draws, (RECTANGLE_DRAWS, RECTANGLE_DRAWS, 3))
    if options.interpolation == "random":
        cubic = rest[0] < 0.5
    else:
        cubic = tf.constant(options.interpolation == "bicubic")
    pixels = _crop(options, encoded, crop, cubic, rest[1] < options.flip)
    rand_augment_options = RandAugment.parse(options.rand_augment)
    if rand_augment_options is not None:
        fill = [min(255, round(255 * value)) for value in options.mean]
        pixels = rand_augment(
            rand_augment_options, pixels, fold_in(seed, 1), fill, options.interpolation
        )
    image = normalize(options, pixels)
    if not options.erasing:
        return image
    rectangle, found = erased_rectangle(options.size, erased)
    return tf.cond(
        found & (rest[2] < options.erasing),
        lambda: _erase(image, rectangle, fold_in(seed, 2)),
        lambda: image,
    )


def _crop(
    options: Augmentation,
    encoded: tf.Tensor,
    draws: tf.Tensor,
    cubic: tf.Tensor,
    mirrored: tf.Tensor,
) -> tf.Tensor:
    """The random resized crop: uint8 (size, size, 3)."""
    header = read_header(encoded)
    ranges = options.crop_scale, options.crop_ratio

    def part_of_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        if not options.exif:
            box = crop_box(*ranges, header.height, header.width, draws)
            return _part_of_jpeg(encoded, header, box)
        swapped, rows, columns = turns(header.orientation)
        height = tf.where(swapped, header.width, header.height)
        width = tf.where(swapped, header.height, header.width)
        top, left, high, wide = tf.unstack(crop_box(*ranges, height, width, draws))
        # The same part of the image as it is stored.
        top = tf.where(rows, height - top - high, top)
        left = tf.where(columns, width - left - wide, left)
        box = tf.where(swapped, (left, top, wide, high), (top, left, high, wide))
        pixels, box = _part_of_jpeg(encoded, header, box)

        def turned() -> tuple[tf.Tensor, tf.Tensor]:
            left, width = box[1], box[3]
            part = turn(pixels[:, left : left + width], header.orientation)
            return part, tf.concat(([0, 0], tf.shape(part)[:2]), axis=0)

        return tf.cond(header.orientation > 1, turned, lambda: (pixels, box))

    def part_of_other() -> tuple[tf.Tensor, tf.Tensor]:
        pixels = decode_known(header, encoded, options.exif)
        height, width = tf.unstack(tf.shape(pixels)[:2])
        top, left, height, width = tf.unstack(crop_box(*ranges, height, width, draws))
        pixels = pixels[top : top + height, left : left + width]
        return pixels, tf.stack((0, 0, height, width))

    in_part = (header.kind == JPEG) & is_exact(header)
    pixels, box = tf.cond(in_part, part_of_jpeg, part_of_other)
    return resized_crop(pixels, box, options.size, cubic, mirrored)


def _part_of_jpeg(
    encoded: tf.Tensor, header: Header, box: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a part of a stored JPEG.

    Returns:
        (uint8 (height, columns, 3), the box within it).
    """
    top, left, height, width = tf.unstack(box)
    # One more column on either side: where colors are stored at half the width, libjpeg gets those
    # of the outermost columns wrong.
    first = tf.maximum(left - 1, 0)
    columns = tf.minimum(left + width + 1, header.width) - first
    pixels = tf.image.decode_and_crop_jpeg(
        encoded, (top, first, height, columns), channels=3, dct_method="INTEGER_ACCURATE"
    )
    return pixels, tf.stack((0, left - first, height, width))


def normalize(options: Normalization, pixels: tf.Tensor) -> tf.Tensor:
    """Normalizes pixels.

    Args:
        options: Side of the image, mean and std of its channels.
        pixels: uint8 (size, size, 3).

    Returns:
        float32 (size, size, 3): `(pixels / 255 - mean) / std`.
    """
    side = options.size
    std = np.array(options.std, np.float64)
    scale = np.tile(1 / (255 * std), side).astype(np.float32)
    shift = np.tile(-np.array(options.mean) / std, side).astype(np.float32)
    # Row by row: a product with three numbers over the last axis takes ten times as long.
    rows = tf.cast(tf.reshape(pixels, (side, side * 3)), tf.float32)
    return tf.reshape(rows * scale + shift, (side, side, 3))


def _erase(image: tf.Tensor, rectangle: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Fills a rectangle with noise: one normal number for each pixel and channel."""
    top, left, height, width = tf.unstack(rectangle)
    noise = tf.random.stateless_normal((height, width, 3), seed, alg="philox")
    # Writes only the rectangle; tf.where would draw and select over the whole image.
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=image,
        begin=(top, left),
        end=(top + height, left + width),
        strides=(1, 1),
        value=noise,
    )
