"""Token mixers in 8 bits: see mixers.py for what they compute.

pool(x) - x is one depthwise convolution, whose weights -120 and 15 are exact in 8 bits. The
margin that makes a mean over 9 pixels equal the mean over the valid ones is the mean of the two
outermost rows (columns): (p + a + b) / 3 = (a + b) / 2 where p = (a + b) / 2.

Attention mixes what differs from the mean of the values, and the mean is added behind it: its
weights sum to 1. LiteRT's softmax has steps of 1 / 256, and attention that is spread evenly over
196 pixels is 1 / 196 each: rounded, it would lose a quarter of the mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_poolformer.config_fields import KERNEL_SIZE
from keras_poolformer.export.networks.integer_operations import (
    activated,
    constant,
    convolution,
    spatial_mean,
)
from keras_poolformer.export.networks.mixers import (
    FoldedAttention,
    FoldedIdentity,
    FoldedPooling,
    FoldedRandom,
    FoldedSepConv,
    Mixer,
)
from keras_poolformer.export.networks.operations import Statistics, pad
from keras_poolformer.export.networks.places import MIXER, MIXER_NORM, Place
from keras_poolformer.export.networks.ranges import Marker


@dataclass(frozen=True)
class MixerInput:
    """What a mixer works on.

    Args:
        x: Stream divided by its scale, (N, H, W, C).
        stream: Place of the stream.
        statistics: Statistics of the stream.
        scale: Scale of the stream, (C,).
        out_scale: Scale by which the branch is divided, (C,).
        place: Place in the block.
        mark: Marker that every tensor passes through.
    """

    x: tf.Tensor
    stream: Place
    statistics: Statistics
    scale: np.ndarray
    out_scale: np.ndarray
    place: Place
    mark: Marker

    def normed(self) -> tf.Tensor:
        """Returns the normalized stream divided by its scale, at the place "normed1"."""
        return self.mark(self.place.at("normed1"), self.statistics.normed)

    def scaled(self, x: tf.Tensor, scale: np.ndarray, bias: np.ndarray | None = None) -> tf.Tensor:
        """Returns the branch: a map times scale and, unless each pixel has its own, times rstd.

        Args:
            x: Map divided by the stream's scale.
            scale: Scale of norm and branch, (C,).
            bias: Number that is added to the branch, (1, H, W, C) or (C,), or None.
        """
        gain = constant(scale * self.scale / self.out_scale)
        if not self.statistics.per_pixel:
            gain = self.mark(self.place.at("gain"), self.statistics.rstd * gain)
        if bias is None:
            return self.mark(self.place.at(MIXER), x * gain)
        unshifted = self.place.at("unshifted")
        branch = self.mark(unshifted, x * gain) + constant(bias / self.out_scale)
        return self.mark.sum(self.place.at(MIXER), branch, (unshifted,))

    def unscaled(self) -> tuple[tf.Tensor, Place]:
        """Returns the centered stream or, where each pixel has its own rstd, the normed one."""
        if self.statistics.per_pixel:
            return self.normed(), self.place.at("normed1")
        return self.statistics.centered, self.place.at(MIXER_NORM).step("centered")


def mix(mixer: Mixer, given: MixerInput) -> tf.Tensor:
    """Returns a mixer's branch, divided by `given.out_scale`."""
    mixing: dict[type, Callable[..., tf.Tensor]] = {
        FoldedPooling: _pool,
        FoldedIdentity: _pass,
        FoldedRandom: _average,
        FoldedSepConv: _convolve,
        FoldedAttention: _attend,
    }
    return mixing[type(mixer)](mixer, given)


def _pool(mixer: FoldedPooling, given: MixerInput) -> tf.Tensor:
    x, place = given.x, given.stream
    if given.statistics.per_pixel:
        x, place = given.unscaled()
    difference = pool_minus_self(x, mixer.pool_size, place, given.mark)
    difference = given.mark.sum(given.place.at("pool"), difference, (place,))
    return given.scaled(difference, mixer.scale)


def _pass(mixer: FoldedIdentity, given: MixerInput) -> tf.Tensor:
    x, _ = given.unscaled()
    return given.scaled(x, mixer.scale, mixer.bias)


def _average(mixer: FoldedRandom, given: MixerInput) -> tf.Tensor:
    mark, mixed = given.mark, given.place.at("mixed")
    x, place = given.unscaled()
    rows = mark.like(place, mixer.as_rows(x))
    rows = mark(mixed, tf.matmul(rows, constant(mixer.matrix)))
    bias = None if mixer.bias is None else mixer.bias.reshape(1, *x.shape[1:])
    return given.scaled(mark.like(mixed, mixer.as_map(rows, x)), mixer.scale, bias)


def _convolve(mixer: FoldedSepConv, given: MixerInput) -> tf.Tensor:
    mark, place = given.mark, given.place
    hidden = convolution(given.normed(), mixer.kernel1 * given.scale[:, None], mixer.bias1)
    squared, shifted = place.at("squared"), place.at("shifted")
    squares = activated("relu2", hidden, place.at("expanded"), squared, mark)
    hidden = mark.sum(shifted, squares + constant(mixer.shift), (squared,))
    hidden = mark.like(shifted, pad(hidden, KERNEL_SIZE // 2))
    mixed, mixed_place = None, None
    for number, (part, kernel) in enumerate(mixer.parts(hidden)):
        part = mark.like(shifted, part)
        result = tf.nn.depthwise_conv2d(part, constant(kernel), [1, 1, 1, 1], "VALID")
        result_place = place.at(f"depthwise {number}")
        result = mark(result_place, result)
        if mixed_place is not None:
            terms, result_place = (mixed_place, result_place), place.at(f"depthwise sum {number}")
            result = mark.sum(result_place, mixed + result, terms)
        mixed, mixed_place = result, result_place
    return mark(place.at(MIXER), convolution(mixed, mixer.kernel2 / given.out_scale))


def _attend(mixer: FoldedAttention, given: MixerInput) -> tf.Tensor:
    mark, place = given.mark, given.place
    normed = given.normed()

    def project(number: int, role: str) -> tf.Tensor:
        kernel = mixer.kernels[number] * given.scale[:, None]
        return mark(place.at(role), convolution(normed, kernel, mixer.biases[number]))

    def heads(x: tf.Tensor, role: str) -> tf.Tensor:
        return mark.like(place.at(role), mixer.split(x))

    queries = heads(project(0, "queries"), "queries")
    keys = heads(project(1, "keys"), "keys")
    keys = mark.like(place.at("keys"), tf.transpose(keys, (0, 1, 3, 2)))
    scores = mark(place.at("scores"), tf.matmul(queries, keys))
    attention = mark.probabilities(tf.nn.softmax(scores))
    values, value_mean = project(2, "values"), place.at("value mean")
    mean = mark(value_mean, spatial_mean(values))
    values = mark.sum(place.at("centered values"), values - mean, (place.at("values"), value_mean))
    values = heads(values, "centered values")
    mixed = mark(place.at("mixed"), tf.matmul(attention, values))
    joined = mark.like(place.at("mixed"), mixer.joined(mixed, given.x))
    attended = mark.sum(place.at("attended"), joined + mean, (place.at("mixed"), value_mean))
    return mark(place.at(MIXER), convolution(attended, mixer.kernel / given.out_scale))


def pool_minus_self(x: tf.Tensor, size: int, place: Place, mark: Marker) -> tf.Tensor:
    """Returns the average of a window minus the pixel itself.

    Args:
        x: Map (N, H, W, C).
        size: Side of the window, in pixels.
        place: Place of the map.
        mark: Marker that every tensor passes through.
    """
    if size != 3 or min(x.shape[1:3]) < 2:
        return mark.like(place, tf.nn.avg_pool2d(x, size, 1, "SAME")) - x
    for axis in (1, 2):
        x = _with_margins(x, axis, lambda margin: mark.like(place, margin))
    weights = np.full((3, 3), 15 / 135)
    weights[1, 1] = -120 / 135
    kernel = constant(np.broadcast_to(weights[:, :, None, None], (3, 3, int(x.shape[-1]), 1)))
    limit = 127 / 135  # makes one step 1 / 135
    kernel = tf.quantization.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=8, narrow_range=True
    )
    return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")


def _with_margins(
    x: tf.Tensor, axis: int, same_range: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Adds a row (column) on both sides: the mean of the two next to it."""
    length = x.shape[axis]

    def margin(start: int) -> tf.Tensor:
        begin = [0, 0, 0, 0]
        begin[axis] = start
        size = list(x.shape)
        size[axis] = 2
        result = [int(side) for side in size[1:3]]
        result[axis - 1] = 1
        # Their mean; XNNPACK's MEAN takes four times as long.
        return same_range(tf.image.resize(tf.slice(x, begin, size), result))

    return same_range(tf.concat([margin(0), x, margin(length - 2)], axis))
