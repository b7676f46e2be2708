"""The folded network in a form that loses little in 8 bits, still exact in real arithmetic.

- Within a stage, the stream x is carried as x / s with one constant s per channel, so that
  all channels fill the same 8-bit range. The pooling mixer commutes with it; s goes into the
  convolutions before and after and into the weights of the norms' statistics.
- Pixels are not normalised first, which would round them: scale and offset go into the first
  convolution, whose padding becomes a frame of the pixel that would be normalised to 0.
- pool(x) - x is one depthwise convolution, whose weights -120 and 15 are exact in 8 bits. The
  margin that makes a mean over 9 pixels equal the mean over the valid ones is the mean of the
  two outermost rows (columns): (p + a + b) / 3 = (a + b) / 2 where p = (a + b) / 2.

Measurements: docs/quantisation.md.
"""

import dataclasses
from dataclasses import dataclass
from typing import cast

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.folding import FoldedHead, FoldedNetwork
from keras_poolformer.models.classifier import LAYER_NORM_EPSILON
from keras_poolformer.models.layers import ACTIVATION_FUNCTIONS, NORM_EPSILON


@dataclass(frozen=True)
class IntegerNetwork:
    """A network for one size of image; every tensor passes through a marker.

    Args:
        network: the folded network.
        scales: s of each stage, (C,).
        pixel_scale: per channel; normalised = pixel * pixel_scale + pixel_offset.
        pixel_offset: per channel.
    """

    network: FoldedNetwork
    scales: tuple[np.ndarray, ...]
    pixel_scale: np.ndarray
    pixel_offset: np.ndarray

    def __call__(self, pixels, mark):
        """Returns logits or embedding, (N, outputs); without a head the pyramid, normed where
        a stage has a norm, {"P2": (N, side/4, side/4, C), ...}.

        Args:
            pixels: float32 (N, side, side, 3) with values 0 to 255.
            mark: a `Recorder` or `Quantizer`, or a function of (name, tensor).
        """
        x, streams = pixels, []
        for index, stage in enumerate(self.network.stages):
            x = self.embedding(index, x, mark)
            for number in range(len(stage.blocks)):
                x = self.block(index, number, x, mark)
            streams.append(x)
        return self.head(x, mark) if self.network.head else self._pyramid(streams, mark)

    def embedding(self, index, x, mark):
        """The convolution that opens a stage: its stream, from pixels or the stage before."""
        stage, scale, name = self.network.stages[index], self.scales[index], f"stage {index}"
        if index:
            kernel = stage.kernel * self.scales[index - 1][:, None] / scale
            return mark(name, _convolution(x, kernel, stage.bias / scale, stage))
        kernel = stage.kernel * self.pixel_scale[:, None] / scale
        bias = stage.bias + (stage.kernel * self.pixel_offset[:, None]).sum((0, 1, 2))
        unpadded = dataclasses.replace(stage, padding=0)
        x = self._framed(x, stage.padding, mark)
        return mark(name, _convolution(x, kernel, bias / scale, unpadded))

    def block(self, index, number, x, mark):
        """One block, stream to stream."""
        block, scale = self.network.stages[index].blocks[number], self.scales[index]
        stream = f"stage {index} block {number - 1} mlp sum" if number else f"stage {index}"
        name = f"stage {index} block {number}"
        x = self._mixer(block, scale, x, stream, name, mark)
        return self._mlp(block, scale, x, name, mark)

    def with_less_bias(self, index, number, drift):
        """The same network, with `drift`, (C,) in the model's units, off one block's output."""
        stages = list(self.network.stages)
        blocks = list(stages[index].blocks)
        bias = blocks[number].fc2_bias - drift
        blocks[number] = dataclasses.replace(blocks[number], fc2_bias=bias)
        stages[index] = dataclasses.replace(stages[index], blocks=tuple(blocks))
        network = dataclasses.replace(self.network, stages=tuple(stages))
        return dataclasses.replace(self, network=network)

    def _framed(self, pixels, width, mark):
        """Pixels with a frame, `width` pixels wide, of what is 0 once it is normalised."""
        for axis in (1, 2) if width else ():
            shape = [*pixels.shape]
            shape[axis] = width
            edge = _constant(np.broadcast_to(-self.pixel_offset / self.pixel_scale, shape))
            edge = mark.like("pixels", edge)
            pixels = mark.like("pixels", tf.concat([edge, pixels, edge], axis))
        return pixels

    def _mixer(self, block, scale, x, stream, name, mark):
        _, rstd = _statistics(x, scale, f"{name} norm1", mark)
        difference = mark(f"{name} pool", self._pool_minus_self(x, stream, mark))
        gain = mark(f"{name} gain", rstd * _constant(block.mixer_scale))
        branch = mark(f"{name} mixer", difference * gain)
        return mark(f"{name} mixer sum", x + branch)

    def _pool_minus_self(self, x, stream, mark):
        size = self.network.pool_size
        if size != 3 or min(x.shape[1:3]) < 2:
            return mark.like(stream, tf.nn.avg_pool2d(x, size, 1, "SAME")) - x
        for axis in (1, 2):
            x = _with_margins(x, axis, lambda margin: mark.like(stream, margin))
        weights = np.full((3, 3), 15 / 135)
        weights[1, 1] = -120 / 135
        kernel = _constant(np.broadcast_to(weights[:, :, None, None], (3, 3, x.shape[-1], 1)))
        limit = 127 / 135  # makes one step 1 / 135
        kernel = tf.quantization.fake_quant_with_min_max_vars(
            kernel, -limit, limit, num_bits=8, narrow_range=True
        )
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")

    def _mlp(self, block, scale, x, name, mark):
        centred, rstd = _statistics(x, scale, f"{name} norm2", mark)
        hidden = mark(f"{name} normed", centred * rstd)
        kernel = block.fc1_kernel * scale[:, None]
        hidden = mark(f"{name} fc1", _convolution(hidden, kernel, block.fc1_bias))
        hidden = mark(f"{name} hidden", ACTIVATION_FUNCTIONS[self.network.activation](hidden))
        kernel, bias = block.fc2_kernel / scale, block.fc2_bias / scale
        branch = mark(f"{name} mlp", _convolution(hidden, kernel, bias))
        return mark(f"{name} mlp sum", x + branch)

    def _pyramid(self, streams, mark):
        """The streams on the model's scale, or normed."""
        outputs = {}
        for index, (x, scale) in enumerate(zip(streams, self.scales, strict=True)):
            name, norm = f"P{index + 2}", self.network.stages[index].norm
            if norm is None:
                outputs[name] = mark(name, x * _constant(scale))
                continue
            centred, rstd = _statistics(x, scale, f"{name} norm", mark)
            x = mark(f"{name} normed", centred * rstd)
            x = mark(f"{name} unshifted", x * _constant(norm.gamma * scale))
            outputs[name] = mark(name, x + _constant(norm.beta))
        return outputs

    def head(self, x, mark):
        """From the last stream to logits or embedding."""
        head, scale = cast(FoldedHead, self.network.head), self.scales[-1]
        if head.kind == "norm_pool":
            centred, rstd = _statistics(x, scale, "head", mark)
            x = mark("head pooled", _spatial_mean(centred))
        else:
            x = mark("head pooled", _spatial_mean(x))
            x, rstd = _statistics(x, scale, "head", mark, LAYER_NORM_EPSILON)
        x = tf.reshape(mark("head normed", x * rstd), (-1, scale.size))
        if head.kernel.ndim == 1:
            x = mark("output unshifted", x * _constant(head.kernel * scale))
            return mark("output", x + _constant(head.bias))
        kernel = _constant(head.kernel * scale[:, None])
        return mark("output", tf.matmul(x, kernel) + _constant(head.bias))


def _statistics(x, scale, name, mark, epsilon=NORM_EPSILON):
    """(x - mean) / s of x / s, (N, H, W, C), and 1 / sqrt(variance + epsilon), (N, 1, 1, 1)."""
    channels = scale.size

    def across_channels(means, weights, bias=0.0):
        product = tf.matmul(tf.reshape(means, (-1, channels)), _constant(weights))
        return tf.reshape(product + _constant(np.full(weights.shape[1], bias)),
                          (-1, 1, 1, weights.shape[1]))  # fmt: skip

    means = mark(f"{name} means", _spatial_mean(x))
    mean = mark(f"{name} mean", across_channels(means, (scale / channels)[:, None]))
    mean = mark(f"{name} scaled mean", mean * _constant(1 / scale))
    centred = mark(f"{name} centred", x - mean)
    squares = mark(f"{name} squares", centred * centred)
    squares = mark(f"{name} square means", _spatial_mean(squares))
    weights = (scale**2 / channels)[:, None]
    variance = mark(f"{name} variance", across_channels(squares, weights, epsilon))
    return centred, mark(f"{name} rstd", tf.math.rsqrt(variance))


def _with_margins(x, axis, same_range):
    """Adds a row (column) on both sides: the mean of the two that are next to it."""
    length = x.shape[axis]

    def margin(start):
        begin, size = [0, 0, 0, 0], list(x.shape)
        begin[axis], size[axis] = start, 2
        return same_range(tf.reduce_mean(tf.slice(x, begin, size), axis, keepdims=True))

    return same_range(tf.concat([margin(0), x, margin(length - 2)], axis))


def _spatial_mean(x):
    return tf.reduce_mean(x, [1, 2], keepdims=True)


def _convolution(x, kernel, bias, stage=None):
    stride, margin = (stage.stride, (stage.padding,) * 2) if stage else (1, (0, 0))
    padding = [(0, 0), margin, margin, (0, 0)]
    return tf.nn.conv2d(x, _constant(kernel), stride, padding) + _constant(bias)


def _constant(array):
    # Made outside the graph that is being traced and captured by it: inside, a SavedModel and
    # the converter would hold several copies of the weights, 3 GB more for m48.
    with tf.init_scope():
        return tf.constant(np.asarray(array, np.float32))
