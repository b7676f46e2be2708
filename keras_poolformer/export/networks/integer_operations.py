"""What integer networks compute with: every tensor passes through a marker.

Feature maps are carried as x / s, with a constant s for each channel: `scale`, (C,).
"""

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
    channels = scale.size

    def over_pixels(x: tf.Tensor, statistic: str) -> tf.Tensor:
        return x if kind.per_pixel else mark(place.step(statistic), spatial_mean(x))

    centered = x
    if not kind.is_centered:
        mean = _over_channels(over_pixels(x, "means"), scale / channels)
        mean, scaled = mark(place.step("mean"), mean), place.step("scaled mean")
        mean = mark(scaled, mean * constant(1 / scale))
        centered = mark.sum(place.step("centered"), x - mean, (scaled,))
    squares = mark(place.step("squares"), centered * centered)
    squares = over_pixels(squares, "square means")
    variance = _over_channels(squares, scale**2 / channels, kind.epsilon)
    variance = mark(place.step("variance"), variance)
    rstd = mark(place.step("rstd"), tf.math.rsqrt(variance))
    return Statistics(centered, rstd, kind.per_pixel)


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
