"""`mmseg` as TensorFlow operations, which can also compute no more than a part of the result."""

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
        return resize(image, tf.constant(target))
    sides = scaled(tf.shape(image)[:2], LONGEST * target, target)
    return resize(resize(image, sides), -(-sides // MULTIPLE) * MULTIPLE)


def scaled(sides: Tensor, longest: int | Tensor, shortest: int | Tensor) -> Tensor:
    """Scales the sides of an image, with one factor, until one of two limits is reached.

    Args:
        sides: int32 (2,). Height and width.
        longest: Limit of the longer side.
        shortest: Limit of the shorter side.

    Returns:
        int32 (2,).
    """
    exact = tf.cast(sides, tf.float64)
    longest, shortest = tf.cast(longest, tf.float64), tf.cast(shortest, tf.float64)
    scale = tf.minimum(longest / tf.reduce_max(exact), shortest / tf.reduce_min(exact))
    return tf.maximum(tf.cast(exact * scale + 0.5, tf.int32), 1)


def resize(image: Tensor, sides: Tensor, box: Tensor | None = None) -> Tensor:
    """Resizes an image as `mmseg.resize` does.

    Args:
        image: uint8 (H, W, 3).
        sides: int32 (2,). Height and width of the whole result.
        box: int32 (4,). Top, left, height and width of the part of the result that is computed;
            None for all of it.

    Returns:
        uint8 (H', W', 3).
    """
    old = tf.shape(image)[:2]
    box = whole(sides) if box is None else box
    upper, lower, upper_weight, lower_weight = _axis(old, sides, box, 0)
    first, second, first_weight, second_weight = _axis(old, sides, box, 1)
    start = upper[0]
    values = tf.cast(image[start : lower[-1] + 1], tf.int32)
    mixed = tf.gather(values, first, axis=1) * first_weight[:, None]
    mixed += tf.gather(values, second, axis=1) * second_weight[:, None]
    mixed = tf.bitwise.right_shift(mixed, 4)
    above = tf.gather(mixed, upper - start) * upper_weight[:, None, None]
    below = tf.gather(mixed, lower - start) * lower_weight[:, None, None]
    sums = tf.bitwise.right_shift(above, 16) + tf.bitwise.right_shift(below, 16)
    return tf.cast(tf.bitwise.right_shift(sums + 2, 2), tf.uint8)


def resize_nearest(labels: Tensor, sides: Tensor, box: Tensor | None = None) -> Tensor:
    """Resizes a mask as `cv2.resize` does with `INTER_NEAREST`.

    Args:
        labels: (H, W).
        sides: int32 (2,). Height and width of the whole result.
        box: As in `resize`.

    Returns:
        (H', W'), of the same dtype.
    """
    part: Tensor = whole(sides) if box is None else box
    for axis in (0, 1):
        length = tf.shape(labels)[axis]
        places = tf.cast(tf.range(part[axis], part[axis] + part[axis + 2]), tf.float64)
        places = tf.cast(places * _scale(length, sides[axis]), tf.int32)
        labels = tf.gather(labels, tf.minimum(places, length - 1), axis=axis)
    return labels


def whole(sides: Tensor) -> Tensor:
    """Returns the box of a whole image: int32 (4,)."""
    return tf.concat((tf.zeros_like(sides), sides), axis=0)


def _scale(length: Tensor, resized: Tensor) -> Tensor:
    return 1 / (tf.cast(resized, tf.float64) / tf.cast(length, tf.float64))


def _axis(old: Tensor, new: Tensor, box: Tensor, axis: int) -> tuple[Tensor, ...]:
    """`mmseg._axis` of a part of one axis, 0 for rows and 1 for columns.

    Returns:
        First and second neighbor of each output, and their weights, all int32.
    """
    length = old[axis]
    outputs = tf.cast(tf.range(box[axis], box[axis] + box[axis + 2]), tf.float64)
    positions = tf.cast((outputs + 0.5) * _scale(length, new[axis]) - 0.5, tf.float32)
    below = tf.floor(positions)
    fraction = positions - below
    first = tf.cast(below, tf.int32)
    if axis == 1:
        fraction = tf.where((first < 0) | (first >= length - 1), 0.0, fraction)
    one = float(1 << WEIGHT_BITS)
    return (
        tf.clip_by_value(first, 0, length - 1),
        tf.clip_by_value(first + 1, 0, length - 1),
        tf.cast(tf.round((1 - fraction) * one), tf.int32),
        tf.cast(tf.round(fraction * one), tf.int32),
    )
