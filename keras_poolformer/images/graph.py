"""`ImageTransform` as TensorFlow operations: in tf.data, in tf.function and in a SavedModel.

This stays our own code, because no library gives Pillow's pixels: TensorFlow's own antialiased
resize differs by up to 15 of 255. Pillow resamples one axis after the other with weights in fixed
point, and rounds to 8 bits after each pass (`src/libImaging/Resample.c`). The same is done here,
for the pixels that the crop keeps. The weights are whole numbers below 2**24, so float64 sums are
exact in any order.
"""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL

from keras_poolformer.images import mmseg_graph
from keras_poolformer.images.kernels import KERNELS, Tensor, not_converted, tf
from keras_poolformer.support.errors import InputError

if TYPE_CHECKING:
    from keras_poolformer.images.transform import ImageTransform

_FIXED_POINT = 2.0**22  # Pillow: PRECISION_BITS = 32 - 8 - 2
_PILLOW = tuple(int(part) for part in re.findall(r"\d+", PIL.__version__)[:2])
_BLOCK = 32  # outputs that share one window of inputs: a dense product over it wastes little


def bound(options: "ImageTransform") -> Callable[[Tensor], Tensor]:
    """Returns `transform` with its options, as a function that AutoGraph leaves alone."""

    @not_converted
    def transform_images(images: Tensor) -> Tensor:
        return transform(options, images)

    return transform_images


@not_converted
def transform(options: "ImageTransform", images: Tensor) -> Tensor:
    """Resizes, crops and normalizes images.

    Args:
        options: Transform to apply.
        images: RGB images (H, W, 3) or (N, H, W, 3); H, W and N may be unknown. uint8, or floats
            from 0 to 255, which are rounded to whole numbers and clipped.

    Returns:
        float32 (H', W', 3) or (N, H', W', 3); bit-equal to `options.normalize` of
        `pixels`.

    Raises:
        InputError: The dtype, rank or number of channels is wrong.
    """
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    # Looked up, not computed: graph optimizers turn division into multiplication.
    table = tf.constant(options.normalize(levels).reshape(-1))
    return tf.gather(table, tf.cast(pixels(options, images), tf.int32) * 3 + tf.range(3))


@not_converted
def pixels(options: "ImageTransform", images: Tensor) -> Tensor:
    """Resizes and crops images without normalizing them.

    It takes about 9 bytes for each value of the part that the crop shows, one image at a time.

    Args:
        options: Transform to apply.
        images: RGB images (H, W, 3) or (N, H, W, 3); H, W and N may be unknown. uint8, or floats
            from 0 to 255, which are rounded to whole numbers and clipped.

    Returns:
        uint8 (H', W', 3) or (N, H', W', 3), H' and W' as in `options.output_shape`.

    Raises:
        InputError: The dtype, rank or number of channels is wrong.
    """
    images = _checked(images)
    if options.crop_mode == "mmseg":
        resize = functools.partial(mmseg_graph.prepare, target=options.size)
        return _each(resize if options.do_resize else tf.identity, images, options.output_shape)
    height, width = tf.unstack(tf.shape(images, out_type=tf.int64)[-3:-1])
    new_height, new_width = _resized(options, height, width)
    cropped = (options.do_center_crop and options.output_shape) or (None, None)
    rows = _axis(options, height, new_height, cropped[0])
    columns = _axis(options, width, new_width, cropped[1])
    rows_first = _rows_first((height, width), (new_height, new_width))
    resample = functools.partial(_resample, rows=rows, columns=columns, rows_first=rows_first)
    return _each(resample, images, options.output_shape)


def _each(
    function: Callable[[Tensor], Tensor], images: Tensor, sides: tuple[int, int] | None
) -> Tensor:
    """A function of an image, of one or of each of a batch; the result's sides, if known."""
    shape = (*(sides or (None, None)), 3)
    if images.shape.rank == 3:
        return tf.ensure_shape(function(images), shape)
    # One image after the other, so that memory does not grow with the batch.
    result = tf.map_fn(function, images, fn_output_signature=tf.TensorSpec(shape, tf.uint8))
    return tf.ensure_shape(result, (images.shape[0], *shape))


def _checked(images: Any) -> Tensor:
    images = tf.convert_to_tensor(images)
    shape = images.shape
    expected = "expected a uint8 or float tensor (H, W, 3) or (N, H, W, 3)"
    if images.dtype != tf.uint8 and not images.dtype.is_floating:
        raise InputError(f"{expected}. Received: {images.dtype.name}")
    if shape.rank is None:
        raise InputError(
            f"{expected}. Received: unknown rank (decode_image needs expand_animations=False)"
        )
    if shape.rank not in (3, 4) or shape[-1] not in (3, None) or 0 in shape[-3:-1]:
        raise InputError(f"{expected}, H and W at least 1. Received: shape {shape}")
    if None in shape[-3:]:
        sides = tf.shape(images)[-3:]
        usable = tf.reduce_all(sides[:2] > 0) & tf.equal(sides[2], 3)
        check = tf.debugging.Assert(usable, [f"{expected}. Received: shape", tf.shape(images)])
        with tf.control_dependencies([check] if check is not None else []):
            images = tf.identity(images)
        images.set_shape(shape[:-1].concatenate(3))
    if images.dtype.is_floating:  # as keras.utils.image_dataset_from_directory gives them
        images = tf.clip_by_value(tf.round(tf.cast(images, tf.float32)), 0.0, 255.0)
    return tf.cast(images, tf.uint8)


def _resized(options: "ImageTransform", height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """`geometry.resized_size`, as (height, width)."""
    target = options.resized_to
    if target is None:
        return height, width
    if isinstance(target, tuple):
        return tf.constant(target[0], tf.int64), tf.constant(target[1], tf.int64)
    # Python's `int(shorter * long / short)`: one float64 division, then truncation.
    longer = tf.cast(tf.maximum(height, width) * target, tf.float64)
    longer = tf.cast(longer / tf.cast(tf.minimum(height, width), tf.float64), tf.int64)
    shorter = tf.constant(target, tf.int64)
    return tf.where(width <= height, longer, shorter), tf.where(width <= height, shorter, longer)


def _crop_start(options: "ImageTransform", length: Tensor, cropped: int) -> Tensor:
    """`geometry.crop_start`."""
    margin = length - cropped
    if options.crop_mode == "hf":
        return margin // 2
    half_to_even = tf.cast(tf.round(tf.cast(margin, tf.float64) / 2), tf.int64)
    return tf.where(margin >= 0, half_to_even, -(-margin // 2))


class _Axis(NamedTuple):
    """How one axis is resampled: in blocks of 32 outputs, each from a window of inputs."""

    size: Tensor | int  # outputs that are kept
    indices: Tensor  # int64 (blocks, window): inputs that a block reads
    weights: Tensor  # float64 (blocks, 32, window): whole numbers, 2**22 stands for 1


def _axis(options: "ImageTransform", length: Tensor, resized: Tensor, cropped: int | None) -> _Axis:
    """Plans the resampling of `length` pixels to `resized`, of which a crop keeps `cropped`."""
    if cropped is None:
        start = tf.constant(0, tf.int64)
        count = resized
    else:
        start = _crop_start(options, resized, cropped)
        count = cropped
    blocks = -(-count // _BLOCK)
    outputs = start + tf.range(tf.cast(blocks * _BLOCK, tf.int64), dtype=tf.int64)
    outputs = tf.reshape(outputs, (-1, _BLOCK))

    kernel, radius = KERNELS[options.interpolation]
    scale = tf.cast(length, tf.float64) / tf.cast(resized, tf.float64)
    support = radius * tf.maximum(scale, 1.0)
    centers = (tf.cast(outputs, tf.float64) + 0.5) * scale
    window = tf.cast(tf.math.ceil((_BLOCK - 1) * scale + 2 * support), tf.int64) + 4
    window = tf.minimum(window, length)
    first = tf.cast(tf.floor(centers[:, 0] - support), tf.int64) - 1
    first = tf.clip_by_value(first, 0, length - window)
    indices = first[:, None] + tf.range(window, dtype=tf.int64)

    if kernel is None:
        weights = _nearest_weights(indices, outputs, scale, resized)
    else:
        weights = _filter_weights(kernel, indices, centers, support, scale, length)
    inside = (outputs >= 0) & (outputs < resized)
    weights = tf.where(inside[:, :, None], weights, 0.0)
    return _Axis(count, indices, weights)


def _filter_weights(
    kernel: Callable[[Tensor], Tensor],
    indices: Tensor,
    centers: Tensor,
    support: Tensor,
    scale: Tensor,
    length: Tensor,
) -> Tensor:
    """Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`: (blocks, 32, window)."""
    positions = tf.cast(indices, tf.float64)[:, None, :]
    centers = centers[:, :, None]
    # Truncated to whole pixels as C does, which decides for pixels on a filter's edge.
    low = tf.cast(tf.maximum(centers - support + 0.5, 0.0), tf.int64)
    high = tf.minimum(tf.cast(centers + support + 0.5, tf.int64), length)
    touched = (indices[:, None, :] >= low) & (indices[:, None, :] < high)
    distance = (positions - centers + 0.5) * (1.0 / tf.maximum(scale, 1.0))
    weights = tf.where(touched, kernel(distance), 0.0)
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))
    fixed = weights * _FIXED_POINT
    return tf.sign(fixed) * tf.floor(tf.abs(fixed) + 0.5)  # halves away from zero


def _nearest_weights(indices: Tensor, outputs: Tensor, scale: Tensor, resized: Tensor) -> Tensor:
    """One input for each output; Pillow finds it by adding up `scale` in float64."""
    last = tf.clip_by_value(outputs[-1, -1] + 1, 1, resized)
    steps = tf.concat([[scale * 0.5], tf.fill([last - 1], scale)], axis=0)
    source = tf.cast(tf.cumsum(steps), tf.int64)
    source = tf.gather(source, tf.clip_by_value(outputs, 0, last - 1))
    taken = indices[:, None, :] == source[:, :, None]
    return tf.cast(taken, tf.float64) * _FIXED_POINT


def _rows_first(old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]) -> Tensor:
    """Whether the installed Pillow resamples the height before the width.

    The two orders differ by 1 or 2 of 255.

    Args:
        old: (height, width) before, int64 scalars.
        new: (height, width) after.
    """
    height, width = old
    new_height, new_width = new
    if _PILLOW < (12, 2):
        return tf.constant(False)
    if _PILLOW < (13,):  # Image.resize: very tall images
        return (height > 100 * width) & (new_height < height)
    # Resample.c since Pillow 13 (measured): the height loses over twice as much as the width
    return (new_height < height) & (height - new_height > 2 * (width - new_width))


def _resample(image: Tensor, rows: _Axis, columns: _Axis, rows_first: Tensor) -> Tensor:
    """(H, W, 3) uint8 -> (rows.size, columns.size, 3) uint8."""
    top = rows.indices[0, 0]
    left = columns.indices[0, 0]
    image = image[top : rows.indices[-1, -1] + 1, left : columns.indices[-1, -1] + 1]
    rows = rows._replace(indices=rows.indices - top)
    columns = columns._replace(indices=columns.indices - left)
    return tf.cond(
        rows_first,
        lambda: _resample_width(_resample_height(image, rows), columns),
        lambda: _resample_height(_resample_width(image, columns), rows),
    )


def _resample_width(image: Tensor, columns: _Axis) -> Tensor:
    turned = tf.transpose(image, (1, 0, 2))
    return tf.transpose(_resample_height(turned, columns), (1, 0, 2))


def _resample_height(image: Tensor, axis: _Axis) -> Tensor:
    height, width = tf.unstack(tf.shape(image)[:2])
    windows = tf.gather(tf.reshape(image, (height, width * 3)), axis.indices)
    sums = tf.matmul(axis.weights, tf.cast(windows, tf.float64))  # (blocks, 32, width * 3)
    values = tf.floor((sums + _FIXED_POINT / 2) / _FIXED_POINT)
    values = tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)
    return tf.reshape(values, (-1, width, 3))[: axis.size]
