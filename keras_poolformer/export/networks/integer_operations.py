"""What integer networks compute with: every tensor passes through a marker.

Feature maps are carried as x / s, with a constant s for each channel: `scale`, (C,).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.operations import NormKind, Statistics, activate
from keras_poolformer.export.networks.parts import FoldedNorm
from keras_poolformer.export.networks.places import Place
from keras_poolformer.export.networks.ranges import Marker


def constant(array: np.ndarray) -> tf.Tensor:
    """Returns an array as a float32 tensor."""
    # Made outside the graph that is being traced and captured by it: inside, a SavedModel and
    # the converter would hold several copies of the weights, 3 GB more for m48.
    with tf.init_scope():
        return tf.constant(np.asarray(array, np.float32))


def convolution(
    x: tf.Tensor,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    stride: int = 1,
    padding: int = 0,
) -> tf.Tensor:
    """Returns a convolution, of a map with `padding` zero pixels on each side."""
    margins = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    result = tf.nn.conv2d(x, constant(kernel), stride, margins)
    return result if bias is None else result + constant(bias)


def framed_convolution(
    x: tf.Tensor,
    kernel: np.ndarray,
    bias: np.ndarray,
    stride: int,
    padding: int,
    pixel: np.ndarray,
    same_range: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Returns a convolution of a map with a frame, in the form that XNNPACK runs fastest.

    - The frame is concatenated, and no wider than the kernel reads: PAD takes longer.
    - An 8-bit dot product takes four numbers. Where the channels do not fill it, as the three of
      pixels, those of `stride` neighbors in a row become one pixel's, which are the same bytes. The
      kernel is widened by zeros to whole groups of neighbors.

    Args:
        x: Map (N, H, W, C).
        kernel: Kernel, (side, side, C, out).
        bias: Bias, (out,).
        stride: Stride.
        padding: Width of the frame, in pixels.
        pixel: Pixel that the frame is made of, (C,).
        same_range: Function that gives a tensor the range of the map.
    """
    side, channels = kernel.shape[0], kernel.shape[2]
    width = -(-side // stride) * stride  # of a kernel that reads whole groups of neighbors
    grouped = channels % 4 > 0 and _frame(x.shape[2], side, stride, padding, width)[1] >= 0
    width = width if grouped else side
    for axis, size in ((1, side), (2, width)):
        parts = [x]
        for after, length in enumerate(_frame(x.shape[axis], side, stride, padding, size)):
            if length > 0:
                shape = [int(number) for number in x.shape]
                shape[axis] = length
                edge = same_range(constant(np.broadcast_to(pixel, shape)))
                parts.insert(len(parts) if after else 0, edge)
        x = same_range(tf.concat(parts, axis)) if len(parts) > 1 else x
    if not grouped:
        return tf.nn.conv2d(x, constant(kernel), stride, "VALID") + constant(bias)
    kernel = np.pad(kernel, ((0, 0), (0, width - side), (0, 0), (0, 0)))
    kernel = kernel.reshape(side, width // stride, stride * channels, -1)
    count, height, length, _ = (int(number) for number in x.shape)
    x = same_range(tf.reshape(x, (count, height, length // stride, stride * channels)))
    return tf.nn.conv2d(x, constant(kernel), (stride, 1), "VALID") + constant(bias)


def _frame(length: int, side: int, stride: int, padding: int, size: int) -> tuple[int, int]:
    """Pixels that a convolution reads before and after a row of pixels.

    Args:
        length: Number of pixels in the row.
        side: Side of the kernel.
        stride: Stride.
        padding: Padding on each side.
        size: Side that the kernel has in this form, at least `side`.
    """
    steps = (length + 2 * padding - side) // stride
    return padding, stride * steps + size - length - padding


def spatial_mean(x: tf.Tensor) -> tf.Tensor:
    """Returns the mean over H and W, (N, 1, 1, C)."""
    return tf.reduce_mean(x, [1, 2], keepdims=True)


def activated(
    activation: str, x: tf.Tensor, before: Place, after: Place, mark: Marker
) -> tf.Tensor:
    """Returns an activation of a linear layer's output.

    Args:
        activation: Name of the activation.
        x: Output of the linear layer.
        before: Place of that output; for "relu2" of its positive part, which needs no other.
        after: Place of the result.
        mark: Marker that every tensor passes through.
    """
    if activation == "relu2":
        rectified = mark(before, tf.nn.relu(x))
        return mark(after, rectified * rectified)
    return mark(after, activate(activation, mark(before, x)))


def integer_statistics(
    x: tf.Tensor, scale: np.ndarray, kind: NormKind, place: Place, mark: Marker
) -> Statistics:
    """Returns the statistics of the map x * scale; `centered` is divided by the scale again.

    Args:
        x: Map divided by its scale, (N, H, W, C).
        scale: Scale of the map, (C,).
        kind: How the norm takes its statistics.
        place: Place of the norm.
        mark: Marker that every tensor passes through.
    """
    centered = x
    if not kind.is_centered:
        mean, scaled = _mean(x, scale, kind, place, mark), place.step("scaled mean")
        mean = mark(scaled, mean * constant(1 / scale))
        centered = mark.sum(place.step("centered"), x - mean, (scaled,))
    variance = mark(place.step("variance"), _mean_square(centered, scale, kind, place, mark))
    rstd = mark(place.step("rstd"), tf.math.rsqrt(variance))
    return Statistics(centered, rstd, kind.per_pixel)


def statistics_without_centering(
    x: tf.Tensor, scale: np.ndarray, kind: NormKind, place: Place, mark: Marker
) -> Statistics:
    """Returns the statistics of the map x * scale, with the map itself as `centered`.

    They are for a mixer that is blind to a constant, and save a pass over the map: the variance is
    the mean square minus the square of the mean. Where the mean is large, that loses bits, but no
    more than the map itself has lost already, whose range has 0 in it.

    Args:
        x: Map divided by its scale, (N, H, W, C).
        scale: Scale of the map, (C,).
        kind: How the norm takes its statistics.
        place: Place of the norm.
        mark: Marker that every tensor passes through.
    """
    mean = _mean(x, scale, kind, place, mark)
    squared_mean, mean_square = place.step("squared mean"), place.step("mean square")
    squared = mark(squared_mean, mean * mean)
    variance = mark(mean_square, _mean_square(x, scale, kind, place, mark)) - squared
    variance = mark.sum(place.step("variance"), variance, (mean_square, squared_mean))
    rstd = mark(place.step("rstd"), tf.math.rsqrt(variance))
    return Statistics(x, rstd, kind.per_pixel)


def _mean(x: tf.Tensor, scale: np.ndarray, kind: NormKind, place: Place, mark: Marker) -> tf.Tensor:
    """The mean of the map x * scale."""
    means = _over_pixels(x, kind, place.step("means"), mark)
    return mark(place.step("mean"), _over_channels(means, scale / scale.size))


def _mean_square(
    x: tf.Tensor, scale: np.ndarray, kind: NormKind, place: Place, mark: Marker
) -> tf.Tensor:
    """The mean square of the map x * scale, plus epsilon; its place is still to be marked."""
    squares = mark(place.step("squares"), x * x)
    squares = _over_pixels(squares, kind, place.step("square means"), mark)
    return _over_channels(squares, scale**2 / scale.size, kind.epsilon)


def _over_pixels(x: tf.Tensor, kind: NormKind, place: Place, mark: Marker) -> tf.Tensor:
    return x if kind.per_pixel else mark(place, spatial_mean(x))


def _over_channels(x: tf.Tensor, weights: np.ndarray, bias: float = 0.0) -> tf.Tensor:
    """The weighted sum of the channels of a map, (N, H, W, 1)."""
    channels = weights.size
    if x.shape[1] * x.shape[2] > 1:
        return convolution(x, weights.reshape(1, 1, channels, 1), np.full(1, bias))
    product = tf.matmul(tf.reshape(x, (-1, channels)), constant(weights[:, None]))
    return tf.reshape(product + constant(np.full(1, bias)), (-1, 1, 1, 1))


def apply_norm(
    norm: FoldedNorm,
    x: tf.Tensor,
    scale: np.ndarray,
    out_scale: np.ndarray,
    place: Place,
    mark: Marker,
) -> tf.Tensor:
    """Returns a normalized map, divided by `out_scale`.

    Args:
        norm: Norm; without a gamma the result stays divided by `scale`.
        x: Map divided by its scale, (N, H, W, C).
        scale: Scale of the map, (C,).
        out_scale: Scale of the result, (C,).
        place: Place of the result.
        mark: Marker that every tensor passes through.
    """
    role = place.role
    statistics = integer_statistics(x, scale, norm.kind, place.at(f"{role} norm"), mark)
    x = mark(place.at(f"{role} normed"), statistics.normed)
    unshifted = place if norm.beta is None else place.at(f"{role} unshifted")
    if norm.gamma is not None:
        x = mark(unshifted, x * constant(norm.gamma * scale / out_scale))
    if norm.beta is None:
        return x
    return mark.sum(place, x + constant(norm.beta / out_scale), (unshifted,))
