"""The augmentation of one training image together with its mask, as in mmsegmentation's recipes.

In the order of mmsegmentation 1.2.2: RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion,
normalization, padding. As in `augment`, a result is a function of a seed, inside tf.data; of the
resized image only the crop is computed.
"""

import math
import numbers
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_poolformer.data.augmentation.augment import normalize
from keras_poolformer.data.augmentation.options import checked_probability, checked_range
from keras_poolformer.data.augmentation.photometric import DISTORTION_DRAWS, distort
from keras_poolformer.images import mmseg_graph
from keras_poolformer.images.mmseg import LONGEST
from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD, ImageTransform
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.support.errors import InputError

CROP_TRIES = 10  # attempts to draw a crop with several classes; the next one is taken as it is
_CORNERS = CROP_TRIES + 1


@dataclass(frozen=True)
class SegmentationAugmentation:
    """What happens to a training image and its mask; the defaults are those of ADE20K's recipes.

    Args:
        size: Side of the square crop in pixels.
        resize: Length to which the shorter side is resized, before `ratio_range`; the longer one
            gets at most four times that. None for `size`.
        ratio_range: Range of the factor of `resize`, drawn for each image.
        cat_max_ratio: Float between 0 and 1. Share of a crop's labeled pixels that one class must
            stay below, else the crop is drawn again, ten times at most; 1 for any crop.
        flip: Float between 0 and 1. Fraction of images that are mirrored.
        vertical_flip: Float between 0 and 1. Fraction of images that are turned upside down by
            mirroring.
        photometric: Whether brightness, contrast, saturation and hue change.
        mean: Mean of each channel, of values from 0 to 1.
        std: Standard deviation of each channel, of values from 0 to 1.

    Raises:
        InputError: An option has the wrong type or is out of range.
    """

    size: int = 512
    resize: int | None = None
    ratio_range: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    vertical_flip: float = 0.0
    photometric: bool = True
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        checked = ImageTransform(size=self.size, mean=self.mean, std=self.std)
        values: dict[str, Any] = {name: getattr(checked, name) for name in ("size", "mean", "std")}
        values["ratio_range"] = checked_range("ratio_range", self.ratio_range, math.inf)
        for name in ("cat_max_ratio", "flip", "vertical_flip"):
            values[name] = checked_probability(name, getattr(self, name))
        is_length = isinstance(self.resize, numbers.Integral) and self.resize >= 1
        if self.resize is not None and (not is_length or isinstance(self.resize, bool)):
            raise InputError(
                "`resize` must be None or a whole number of pixels from 1. "
                f"Received: {self.resize!r}"
            )
        if not isinstance(self.photometric, bool):
            raise InputError(f"`photometric` must be True or False. Received: {self.photometric!r}")
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def augment_with_mask(
    options: SegmentationAugmentation, pixels: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments one image and its mask alike.

    Args:
        options: What happens to them.
        pixels: uint8 (H, W, 3), RGB.
        mask: int32 (H, W). Numbers of classes, and 255 where there is none.
        seed: int32 or int64 (2,). The results are a function of it, of the options, the pixels
            and the mask.

    Returns:
        (float32 (size, size, 3), normalized; int32 (size, size)). Images that are smaller than
        the crop end in zeros, on the right and below, and their masks in 255.
    """
    count = 3 + 2 * _CORNERS + DISTORTION_DRAWS
    draws = tf.random.stateless_uniform((count,), seed, dtype=tf.float64, alg="philox")
    first, corners, colors = tf.split(draws, (3, 2 * _CORNERS, DISTORTION_DRAWS))
    ratio, across, down = tf.unstack(first)
    sides = _resized_sides(options, tf.shape(mask), ratio)
    box = _crop_box(options, mask, sides, tf.reshape(corners, (_CORNERS, 2)))
    pixels = mmseg_graph.resize(pixels, sides, box)
    mask = mmseg_graph.resize_nearest(mask, sides, box)
    for axis, is_flipped in ((1, across < options.flip), (0, down < options.vertical_flip)):
        pixels, mask = _flipped(is_flipped, axis, pixels, mask)
    if options.photometric:
        pixels = distort(pixels, colors)
    return _padded(options, pixels, mask)


def _resized_sides(
    options: SegmentationAugmentation, sides: tf.Tensor, draw: tf.Tensor
) -> tf.Tensor:
    """Height and width after `RandomResize`: int32 (2,)."""
    low, high = options.ratio_range
    ratio = draw * (high - low) + low
    shortest = tf.constant(options.resize or options.size, tf.float64)
    limits = tf.cast(tf.stack((LONGEST * shortest, shortest)) * ratio, tf.int32)
    return mmseg_graph.scaled(sides, limits[0], limits[1])


def _crop_box(
    options: SegmentationAugmentation, mask: tf.Tensor, sides: tf.Tensor, draws: tf.Tensor
) -> tf.Tensor:
    """The first crop in which no class has too large a share: int32 (4,), as `resize` takes it."""
    size = tf.minimum(sides, options.size)
    space = sides - size
    corners = tf.cast(draws * tf.cast(space + 1, tf.float64), tf.int32)  # (tries, 2)
    boxes = tf.concat((corners, tf.broadcast_to(size, (_CORNERS, 2))), axis=1)
    if options.cat_max_ratio == 1:
        return boxes[0]
    classes = tf.reduce_max(mask) + 1

    def next_one(number: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = mmseg_graph.resize_nearest(mask, sides, boxes[number])
        counts = tf.math.bincount(part, minlength=classes, maxlength=classes)
        counts = tf.where(tf.equal(tf.range(classes), IGNORED_LABEL), 0, counts)
        share = tf.reduce_max(counts) / tf.reduce_sum(counts)  # NaN where nothing is labeled
        found = (tf.math.count_nonzero(counts) > 1) & (share < options.cat_max_ratio)
        return tf.where(found, number, number + 1), found

    number, _ = tf.while_loop(
        lambda number, found: ~found & (number < CROP_TRIES),
        next_one,
        (tf.constant(0), tf.constant(False)),
        parallel_iterations=1,
    )
    return boxes[number]


def _flipped(
    condition: tf.Tensor, axis: int, pixels: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cond(
        condition,
        lambda: (tf.reverse(pixels, (axis,)), tf.reverse(mask, (axis,))),
        lambda: (pixels, mask),
    )


def _padded(
    options: SegmentationAugmentation, pixels: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Normalizes and pads: `SegDataPreProcessor`."""
    side = options.size
    height, width = tf.unstack(tf.shape(mask))
    below, right = side - height, side - width
    margins = ((0, below), (0, right))
    mask = tf.pad(mask, margins, constant_values=IGNORED_LABEL)
    pixels = tf.reshape(tf.pad(pixels, (*margins, (0, 0))), (side, side, 3))
    image = normalize(options, pixels)
    image = tf.cond(
        below + right > 0,
        lambda: tf.pad(image[:height, :width], (*margins, (0, 0))),  # zeros after normalization
        lambda: image,
    )
    return tf.ensure_shape(image, (side, side, 3)), tf.ensure_shape(mask, (side, side))
