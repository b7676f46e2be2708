"""Shear, translation and rotation as TensorFlow operations, with Pillow's pixels.

Pillow (`src/libImaging/Geometry.c`) maps the center of each pixel into the source in float64,
interpolates between 2x2 or 4x4 pixels, repeating those at the edge, and drops the fraction. Where
the center falls outside of the source, the fill color stays.

Bilinear pixels equal Pillow's bit for bit. Bicubic ones are computed in float32, in two thirds of
the time: of a million values, some 20 are off by 1 of 255, and up to 3,000 at round levels, where
many exact results are whole numbers.

All functions take and return uint8 (H, W, 3), H and W static or not.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

Scalar = float | tf.Tensor


def shear_x(pixels: tf.Tensor, factor: Scalar, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """Moves each row by `factor` times its distance from the top.

    Args:
        pixels: uint8 (H, W, 3).
        factor: Scalar, -1 to 1.
        bicubic: Scalar bool. Bicubic interpolation, else bilinear.
        fill: uint8 (3,). Color of the pixels that come in.
    """
    height = tf.shape(pixels)[0]
    # Graph optimizers would merge another product with the one that the factor is.
    shift = tf.math.multiply_no_nan(_centers(height), tf.cast(factor, tf.float64))
    return _slide(pixels, shift[:, None], bicubic, fill)


def shear_y(pixels: tf.Tensor, factor: Scalar, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """`shear_x` for columns."""
    return _turn(shear_x(_turn(pixels), factor, bicubic, fill))


def translate_x(pixels: tf.Tensor, share: Scalar, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """Moves the image to the left, or to the right where `share` is negative.

    Args:
        pixels: uint8 (H, W, 3).
        share: Scalar. Distance as a fraction of the width.
        bicubic: Scalar bool. Bicubic interpolation, else bilinear.
        fill: uint8 (3,). Color of the pixels that come in.
    """
    shift = tf.cast(share, tf.float64) * tf.cast(tf.shape(pixels)[1], tf.float64)
    return _slide(pixels, tf.reshape(shift, (1, 1)), bicubic, fill)


def translate_y(pixels: tf.Tensor, share: Scalar, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """Moves the image up by `share` of its height, or down where it is negative."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    size = tf.cast(height, tf.float64)
    source = _centers(height) + tf.cast(share, tf.float64) * size
    first = tf.floor(source - 0.5)
    inside = (source >= 0.0) & (source < size)
    rows = tf.reshape(pixels, (height, width * 3))

    def tap(offset: int) -> tf.Tensor:
        index = tf.clip_by_value(tf.cast(first, tf.int32) + offset, 0, height - 1)
        return tf.cast(tf.gather(rows, index), tf.float32)

    result = _interpolate(tap, (source - 0.5 - first)[:, None], bicubic)
    colors = tf.tile(tf.cast(fill, tf.uint8), [width])
    return _like(pixels, tf.where(inside[:, None], result, colors))


def rotate(pixels: tf.Tensor, degrees: Scalar, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """Turns the image about its center.

    Args:
        pixels: uint8 (H, W, 3).
        degrees: Scalar. Angle, counterclockwise, between -90 and 90.
        bicubic: Scalar bool. Bicubic interpolation, else bilinear.
        fill: uint8 (3,). Color of the pixels that come in.
    """
    height, width = tf.unstack(tf.shape(pixels)[:2])
    rows, columns = _rotated(height, width, tf.cast(degrees, tf.float64))
    inside = (rows >= 0.0) & (rows < tf.cast(height, tf.float64))
    inside &= (columns >= 0.0) & (columns < tf.cast(width, tf.float64))
    result = tf.cond(
        tf.convert_to_tensor(bicubic),
        lambda: _sample(pixels, rows, columns, 4),
        lambda: _sample(pixels, rows, columns, 2),
    )
    colors = tf.cast(fill, tf.uint8)[:, None]
    planes = tf.where(inside, result, colors)  # (3, H * W)
    return _like(pixels, tf.transpose(planes))


def _rotated(
    height: tf.Tensor, width: tf.Tensor, degrees: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions in the source of the pixels' centers, as in `Image.rotate`.

    Returns:
        float64 (H * W,) rows, float64 (H * W,) columns.
    """
    angle = -tf.math.floormod(degrees, 360.0) * (math.pi / 180.0)
    cosine, sine = _rounded(tf.cos(angle)), _rounded(tf.sin(angle))
    middle_x = tf.cast(width, tf.float64) / 2.0
    middle_y = tf.cast(height, tf.float64) / 2.0
    # Graph optimizers change the order, and so the rounding, of other sums of three.
    offset_x = tf.cumsum([cosine * middle_x, sine * middle_y, -middle_x])[-1]
    offset_y = tf.cumsum([cosine * middle_y, sine * -middle_x, -middle_y])[-1]
    x, y = _centers(width), _centers(height)[:, None]
    columns = cosine * x + sine * y - offset_x
    rows = cosine * y - sine * x - offset_y
    return tf.reshape(rows, [-1]), tf.reshape(columns, [-1])


def _rounded(value: tf.Tensor) -> tf.Tensor:
    # Graph optimizers turn other divisions into multiplications.
    return tf.math.divide_no_nan(tf.round(value * 1e15), 1e15)


def _sample(pixels: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, side: int) -> tf.Tensor:
    """Interpolates between `side` x `side` pixels around each center.

    Args:
        pixels: uint8 (H, W, 3).
        rows: float64 (N,). Centers in the source.
        columns: float64 (N,). Centers in the source.
        side: 2 for bilinear, 4 for bicubic.

    Returns:
        uint8 (3, N); any value for centers outside of the image.
    """
    height, width = tf.unstack(tf.shape(pixels)[:2])
    weights = tf.float64 if side == 2 else tf.float32
    margin = side // 2
    padded = _repeat_edges(_repeat_edges(pixels, margin, 0), margin, 1)
    padded = tf.pad(padded, [[0, 1], [0, -width % side], [0, 0]])
    top, down = _split(rows, height)
    left, right = _split(columns, width)
    down, right = (tf.tile(tf.cast(past, weights), [3]) for past in (down, right))

    # Lookups are the cost, so runs of `side` pixels in a row are looked up as one. A run begins
    # `phase` pixels after a multiple of `side`; each row has `stride` such multiples.
    stride = tf.shape(padded)[1] // side
    values = tf.reshape(padded, [-1])
    count = stride * (height + 2 * margin)
    shape = (count, 3 * side)
    parts = [values[3 * phase :][: 3 * side * count] for phase in range(side)]
    runs = tf.concat([tf.reshape(part, shape) for part in parts], 0)
    first = left + 1
    multiple = tf.bitwise.right_shift(first, side // 2)
    phase = first - multiple * side
    corner = phase * count + (top + 1) * stride + multiple

    def tap(row: int) -> tf.Tensor:
        taps = tf.transpose(tf.gather_nd(runs, (corner + row * stride)[:, None]))
        taps = tf.cast(tf.reshape(taps, (side, -1)), tf.float32)  # (side, 3 * N)
        return _curve(tf.unstack(taps), right)

    return tf.reshape(_whole(_curve([tap(row) for row in range(side)], down)), (3, -1))


def _split(positions: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The pixel before each position, clipped to the image, and the distance from its center."""
    positions = positions - 0.5
    first = tf.floor(positions)
    whole = tf.clip_by_value(tf.cast(first, tf.int32), -1, length - 1)
    return whole, positions - first


def _slide(pixels: tf.Tensor, shift: tf.Tensor, bicubic: Scalar, fill: tf.Tensor) -> tf.Tensor:
    """Moves each row to the left by a shift of its own.

    Args:
        pixels: uint8 (H, W, 3).
        shift: float64 (H, 1), or (1, 1) for all rows.
        bicubic: Scalar bool. Bicubic interpolation, else bilinear.
        fill: uint8 (3,). Color of the pixels that come in.
    """
    height, width = tf.unstack(tf.shape(pixels)[:2])
    start = tf.floor(shift)
    padded = tf.cast(_repeat_edges(pixels, 2, 1), tf.float32)
    corners = tf.pad(tf.broadcast_to(start + 1.0, (height, 1)), [[0, 0], [1, 0]])
    # One copy of each row from its own offset; tf.gather would look up every pixel.
    moved = tf.raw_ops.ExtractGlimpseV2(
        input=padded[:, None],
        size=tf.stack([1, width + 3]),
        offsets=tf.cast(corners, tf.float32),
        centered=False,
        normalized=False,
        uniform_noise=False,
        noise="zero",
    )
    moved = tf.reshape(moved, (height, (width + 3) * 3))

    def tap(offset: int) -> tf.Tensor:
        first = 3 * (offset + 1)
        return moved[:, first : first + 3 * width]

    column = tf.repeat(_centers(width), 3)
    source = column + shift
    inside = (source >= 0.0) & (source < tf.cast(width, tf.float64))
    # Rounded as in Pillow, which matters at round levels, where exact results are whole numbers.
    past = source - (start + column)
    result = _interpolate(tap, past, bicubic)
    colors = tf.tile(tf.cast(fill, tf.uint8), [width])
    return _like(pixels, tf.where(inside, result, colors))


def _interpolate(tap: Callable[[int], tf.Tensor], past: tf.Tensor, bicubic: Scalar) -> tf.Tensor:
    """uint8 values at `past` (0 to 1) on the way from tap(0) to tap(1)."""
    return tf.cond(
        tf.convert_to_tensor(bicubic),
        lambda: _whole(_curve([tap(offset) for offset in (-1, 0, 1, 2)], past)),
        lambda: _whole(_curve([tap(offset) for offset in (0, 1)], past)),
    )


def _curve(taps: Sequence[tf.Tensor], past: tf.Tensor) -> tf.Tensor:
    """Pillow's BILINEAR of 2 taps, in float64, or BICUBIC of 4, in float32.

    Args:
        taps: Float tensors; whole numbers in the first pass, so that float32 sums are exact.
        past: float64. Position between the two taps in the middle, 0 to 1.
    """
    if len(taps) == 2:
        before, after = taps
        return tf.cast(before, past.dtype) + past * tf.cast(after - before, past.dtype)
    v1, v2, v3, v4 = taps
    past = tf.cast(past, tf.float32)
    rise, fall = v2 - v1, v3 - v4
    cube = rise - fall
    return v2 + past * (v3 - v1 + past * (past * cube - (rise + cube)))


def _whole(values: tf.Tensor) -> tf.Tensor:
    if values.dtype == tf.float32:  # bicubic values go beyond their taps
        values = tf.clip_by_value(values, 0.0, 255.0)
    return tf.cast(values, tf.uint8)


def _centers(length: tf.Tensor) -> tf.Tensor:
    return tf.range(tf.cast(length, tf.float64), dtype=tf.float64) + 0.5


def _repeat_edges(pixels: tf.Tensor, count: int, axis: int) -> tf.Tensor:
    if axis == 0:
        first, last = pixels[:1], pixels[-1:]
    else:
        first, last = pixels[:, :1], pixels[:, -1:]
    return tf.concat([first] * count + [pixels] + [last] * count, axis)


def _turn(pixels: tf.Tensor) -> tf.Tensor:
    return tf.transpose(pixels, (1, 0, 2))


def _like(pixels: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.reshape(values, tf.shape(pixels)), pixels.shape)
