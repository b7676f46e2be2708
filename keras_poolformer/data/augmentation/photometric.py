"""mmsegmentation's PhotoMetricDistortion: random brightness, contrast, saturation and hue.

Formulas, order and rounding are those of mmseg/datasets/transforms/transforms.py (1.2.2) and of
OpenCV's 8-bit HSV, in which hue has 180 levels. All functions take and return uint8 (H, W, 3), RGB.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

BRIGHTNESS = (-32.0, 32.0)  # levels that are added
CONTRAST = (0.5, 1.5)  # factor
SATURATION = (0.5, 1.5)  # factor
HUE = (-18.0, 18.0)  # levels of hue that are added: whole numbers, -18 to 17
DISTORTION_DRAWS = 9  # numbers: whether each of the four is applied, how much, and the order
_HUES = 180  # levels of hue
_FIXED_POINT = 12  # bits; OpenCV's `hsv_shift`


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def distort(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Applies each of the four operations to half of the images.

    Args:
        pixels: uint8 (H, W, 3), RGB.
        draws: float64 (DISTORTION_DRAWS,), uniform in [0, 1).

    Returns:
        uint8 (H, W, 3).
    """
    applied, amounts, order = draws[:4] >= 0.5, tf.unstack(draws[4:8]), draws[8]
    levels, factor = _within(BRIGHTNESS, amounts[0]), _within(CONTRAST, amounts[1])
    more, turn = _within(SATURATION, amounts[2]), tf.floor(_within(HUE, amounts[3]))

    def applied_if(
        condition: tf.Tensor, operation: Callable[..., tf.Tensor], amount: tf.Tensor
    ) -> tf.Tensor:
        before = pixels
        return tf.cond(condition, lambda: operation(before, amount), lambda: before)

    pixels = applied_if(applied[0], brightness, levels)
    pixels = applied_if(applied[1] & (order >= 0.5), contrast, factor)
    pixels = applied_if(applied[2], saturation, more)
    pixels = applied_if(applied[3], hue, tf.cast(turn, tf.int32))
    return applied_if(applied[1] & (order < 0.5), contrast, factor)


def brightness(pixels: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Adds levels to all channels."""
    return _clipped(tf.cast(pixels, tf.float32) + tf.cast(levels, tf.float32))


def contrast(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies all channels."""
    return _clipped(tf.cast(pixels, tf.float32) * tf.cast(factor, tf.float32))


def saturation(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation."""
    hues, saturations, values = rgb_to_hsv(pixels)
    saturations = _clipped(tf.cast(saturations, tf.float32) * tf.cast(factor, tf.float32))
    return hsv_to_rgb(hues, tf.cast(saturations, tf.int32), values)


def hue(pixels: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Adds levels of 2 degrees to the hue: a scalar int32."""
    hues, saturations, values = rgb_to_hsv(pixels)
    return hsv_to_rgb(tf.math.floormod(hues + levels, _HUES), saturations, values)


def _within(ends: tuple[float, float], share: tf.Tensor) -> tf.Tensor:
    return ends[0] + (ends[1] - ends[0]) * share


def _clipped(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)  # cut, not rounded


def _divisors(numerator: int, denominator: float) -> np.ndarray:
    """Reciprocals of 0 to 255 in fixed point; 0 for 0."""
    levels = np.arange(1, 256)
    numbers = np.rint((numerator << _FIXED_POINT) / (denominator * levels))
    return np.concatenate(([0], numbers)).astype(np.int32)


_OF_SATURATION = _divisors(255, 1.0)
_OF_HUE = _divisors(_HUES, 6.0)


def rgb_to_hsv(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Converts colors as `cv2.COLOR_RGB2HSV` does, bit for bit.

    Args:
        pixels: uint8 (H, W, 3).

    Returns:
        int32 (H, W) each: hue, 0 to 179; saturation and value, 0 to 255.
    """
    red, green, blue = tf.unstack(tf.cast(pixels, tf.int32), axis=-1)
    values = tf.maximum(tf.maximum(red, green), blue)
    spans = values - tf.minimum(tf.minimum(red, green), blue)
    hues = tf.where(
        tf.equal(values, red),
        green - blue,
        tf.where(tf.equal(values, green), blue - red + 2 * spans, red - green + 4 * spans),
    )
    hues = _rounded(hues * tf.gather(_OF_HUE, spans))
    saturations = _rounded(spans * tf.gather(_OF_SATURATION, values))
    return tf.where(hues < 0, hues + _HUES, hues), saturations, values


def _rounded(fixed: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(fixed + (1 << _FIXED_POINT - 1), _FIXED_POINT)


def hsv_to_rgb(hues: tf.Tensor, saturations: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Converts colors as `cv2.COLOR_HSV2RGB` does.

    OpenCV computes this in float32 and cuts the result off, but for the last few pixels of a row,
    which it rounds. Of all colors there are, 5 in 100,000 levels differ by 1: OpenCV's compiler
    merges products and sums.

    Args:
        hues: int32 (H, W), 0 to 179.
        saturations: int32 (H, W), 0 to 255.
        values: int32 (H, W), 0 to 255.

    Returns:
        uint8 (H, W, 3).
    """
    angle = tf.cast(hues, tf.float32) * np.float32(6 / _HUES)
    share = tf.cast(saturations, tf.float32) * np.float32(1 / 255)
    value = tf.cast(values, tf.float32) * np.float32(1 / 255)
    sector = tf.floor(angle)
    fraction = angle - sector
    low = value * (1.0 - share)
    falling = value * (1.0 - share * fraction)
    rising = value * (1.0 - share * (1.0 - fraction))

    def channel(*of_sectors: tf.Tensor) -> tf.Tensor:
        chosen = of_sectors[5]
        for number in range(5):
            chosen = tf.where(tf.equal(sector, float(number)), of_sectors[number], chosen)
        return tf.cast(chosen * 255.0, tf.uint8)

    red = channel(value, falling, low, low, rising, value)
    green = channel(rising, value, value, falling, low, low)
    blue = channel(low, low, rising, value, value, falling)
    return tf.stack((red, green, blue), axis=-1)
