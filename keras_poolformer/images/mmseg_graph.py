"""`mmseg` as TensorFlow operations."""

import functools

from keras_poolformer.images.kernels import Tensor, tf
from keras_poolformer.images.mmseg import LONGEST, MULTIPLE, WEIGHT_BITS


def prepare(image: Tensor, target: int | tuple[int, int]) -> Tensor:
    """Resizes an image as the pipeline does; see `mmseg.sizes`.

    Args:
        image: uint8 (H, W, 3).
        target: Length of the shorter side, or (height, width) of the result.

    Returns:
        uint8 (H', W', 3).
    """
    if isinstance(target, tuple):
        return _resized(image, tf.constant(target))
    sides = tf.shape(image)[:2]
    exact = tf.cast(sides, tf.float64)
    longest = tf.constant(LONGEST * target, tf.float64) / tf.reduce_max(exact)
    scale = tf.minimum(longest, tf.constant(target, tf.float64) / tf.reduce_min(exact))
    sides = tf.maximum(tf.cast(exact * scale + 0.5, tf.int32), 1)
    return _resized(_resized(image, sides), -(-sides // MULTIPLE) * MULTIPLE)


def _resized(image: Tensor, sides: Tensor) -> Tensor:
    """`mmseg.resize`, to int32 (height, width)."""
    values, old = tf.cast(image, tf.int32), tf.shape(image)[:2]
    halved = tf.reduce_all(tf.equal(old, 2 * sides))
    resized = tf.cond(
        halved,
        functools.partial(_mean, values),
        functools.partial(_interpolated, values, old, sides),
    )
    resized = tf.cond(tf.reduce_all(tf.equal(old, sides)), lambda: values, lambda: resized)
    return tf.cast(resized, tf.uint8)


def _mean(values: Tensor) -> Tensor:
    corners = [values[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    return tf.bitwise.right_shift(tf.add_n(corners) + 2, 2)


def _interpolated(values: Tensor, old: Tensor, sides: Tensor) -> Tensor:
    first, second, first_weight, second_weight = _axis(old[1], sides[1], stops_at_edges=True)
    mixed = tf.gather(values, first, axis=1) * first_weight[:, None]
    mixed += tf.gather(values, second, axis=1) * second_weight[:, None]
    mixed = tf.bitwise.right_shift(mixed, 4)
    first, second, first_weight, second_weight = _axis(old[0], sides[0], stops_at_edges=False)
    upper = tf.bitwise.right_shift(tf.gather(mixed, first) * first_weight[:, None, None], 16)
    lower = tf.bitwise.right_shift(tf.gather(mixed, second) * second_weight[:, None, None], 16)
    return tf.bitwise.right_shift(upper + lower + 2, 2)


def _axis(length: Tensor, resized: Tensor, stops_at_edges: bool) -> tuple[Tensor, ...]:
    """`mmseg._axis`: first and second neighbor, and their weights, all int32."""
    scale = 1 / (tf.cast(resized, tf.float64) / tf.cast(length, tf.float64))
    outputs = tf.cast(tf.range(resized), tf.float64)
    positions = tf.cast((outputs + 0.5) * scale - 0.5, tf.float32)
    below = tf.floor(positions)
    fraction = positions - below
    first = tf.cast(below, tf.int32)
    if stops_at_edges:
        fraction = tf.where((first < 0) | (first >= length - 1), 0.0, fraction)
    whole = float(1 << WEIGHT_BITS)
    return (
        tf.clip_by_value(first, 0, length - 1),
        tf.clip_by_value(first + 1, 0, length - 1),
        tf.cast(tf.round((1 - fraction) * whole), tf.int32),
        tf.cast(tf.round(fraction * whole), tf.int32),
    )
