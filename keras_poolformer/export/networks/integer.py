"""The folded network in a form that loses little in 8 bits, still exact in real arithmetic.

- Within a stage, the stream x is carried as x / s with one constant s per channel, so that
  all channels fill the same 8-bit range. The pooling mixer commutes with it; s goes into the
  convolutions before and after and into the weights of the norms' statistics.
- Pixels are not normalized first, which would round them: scale and offset go into the first
  convolution, whose padding becomes a frame of the pixel that would be normalized to 0.
- pool(x) - x is one depthwise convolution, whose weights -120 and 15 are exact in 8 bits. The
  margin that makes a mean over 9 pixels equal the mean over the valid ones is the mean of the
  two outermost rows (columns): (p + a + b) / 3 = (a + b) / 2 where p = (a + b) / 2.

Measurements: docs/quantization.md.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.folding import FoldedNetwork
from keras_poolformer.export.networks.parts import FoldedBlock, FoldedHead, FoldedStage
from keras_poolformer.export.networks.places import (
    EMBEDDING,
    HEAD,
    MIXER_SUM,
    MLP_SUM,
    OUTPUT,
    PIXELS,
    Place,
)
from keras_poolformer.export.networks.ranges import Marker
from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.models.classifier import LAYER_NORM_EPSILON
from keras_poolformer.models.layers import NORM_EPSILON


@dataclass(frozen=True)
class IntegerNetwork:
    """A network for one size of image; every tensor passes through a marker.

    Args:
        network: Folded network that it computes.
        scales: Constants s of each stage, (C,).
        pixel_scale: Factor of each channel; normalized = pixel * pixel_scale + pixel_offset.
        pixel_offset: Offset of each channel.
    """

    network: FoldedNetwork
    scales: tuple[np.ndarray, ...]
    pixel_scale: np.ndarray
    pixel_offset: np.ndarray

    def __call__(self, pixels: tf.Tensor, mark: Marker) -> tf.Tensor | dict[str, tf.Tensor]:
        """Runs the network.

        Args:
            pixels: float32 (N, H, W, 3) with values from 0 to 255.
            mark: Marker that every tensor passes through.

        Returns:
            Logits or embedding, (N, outputs). Without a head the pyramid, normed where a stage has
            a norm: {"P2": (N, H/4, W/4, C), ...}.
        """
        x = pixels
        streams = []
        for index, stage in enumerate(self.network.stages):
            x = self.embedding(index, x, mark)
            for number in range(len(stage.blocks)):
                x = self.block(index, number, x, mark)
            streams.append(x)
        return self.head(x, mark) if self.network.head else self._pyramid(streams, mark)

    def embedding(self, index: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        """Runs the convolution that opens a stage.

        Args:
            index: Index of the stage.
            x: Pixels, or the stream of the stage before.
            mark: Marker that every tensor passes through.

        Returns:
            The stream of the stage.
        """
        stage = self.network.stages[index]
        scale = self.scales[index]
        place = Place(index, None, EMBEDDING)
        if index:
            kernel = stage.kernel * self.scales[index - 1][:, None] / scale
            return mark(place, _convolution(x, kernel, stage.bias / scale, stage))
        kernel = stage.kernel * self.pixel_scale[:, None] / scale
        bias = stage.bias + (stage.kernel * self.pixel_offset[:, None]).sum((0, 1, 2))
        unpadded = dataclasses.replace(stage, padding=0)
        x = self._framed(x, stage.padding, mark)
        return mark(place, _convolution(x, kernel, bias / scale, unpadded))

    def block(self, index: int, number: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        """Runs one block, from stream to stream.

        Args:
            index: Index of the stage.
            number: Index of the block in the stage.
            x: Stream of the stage.
            mark: Marker that every tensor passes through.
        """
        block = self.network.stages[index].blocks[number]
        scale = self.scales[index]
        stream = Place(index, None, EMBEDDING)
        if number:
            stream = Place(index, number - 1, MLP_SUM)
        place = Place(index, number, MLP_SUM)
        x = self._mixer(block, scale, x, stream, place, mark)
        return self._mlp(block, scale, x, place, mark)

    def with_less_bias(self, index: int, number: int, drift: np.ndarray) -> "IntegerNetwork":
        """Returns the same network with `drift` subtracted from one block's output.

        Args:
            index: Index of the stage.
            number: Index of the block in the stage.
            drift: (C,), in the model's units.
        """
        stages = list(self.network.stages)
        blocks = list(stages[index].blocks)
        mlp = blocks[number].mlp
        mlp = dataclasses.replace(mlp, fc2_bias=mlp.fc2_bias - drift)
        blocks[number] = dataclasses.replace(blocks[number], mlp=mlp)
        stages[index] = dataclasses.replace(stages[index], blocks=tuple(blocks))
        network = dataclasses.replace(self.network, stages=tuple(stages))
        return dataclasses.replace(self, network=network)

    def _framed(self, pixels: tf.Tensor, width: int, mark: Marker) -> tf.Tensor:
        """Pixels with a frame, `width` pixels wide, of what is 0 once it is normalized."""
        for axis in (1, 2) if width else ():
            shape = [int(side) for side in pixels.shape]
            shape[axis] = width
            edge = _constant(np.broadcast_to(-self.pixel_offset / self.pixel_scale, shape))
            edge = mark.like(PIXELS, edge)
            pixels = mark.like(PIXELS, tf.concat([edge, pixels, edge], axis))
        return pixels

    def _mixer(
        self,
        block: FoldedBlock,
        scale: np.ndarray,
        x: tf.Tensor,
        stream: Place,
        place: Place,
        mark: Marker,
    ) -> tf.Tensor:
        _, rstd = _statistics(x, scale, place.at("norm1"), mark)
        difference = mark(place.at("pool"), self._pool_minus_self(x, stream, mark))
        gain = mark(place.at("gain"), rstd * _constant(block.mixer.scale))
        branch = mark(place.at("mixer"), difference * gain)
        return mark(place.at(MIXER_SUM), x + branch)

    def _pool_minus_self(self, x: tf.Tensor, stream: Place, mark: Marker) -> tf.Tensor:
        size = 3
        if size != 3 or min(x.shape[1:3]) < 2:
            return mark.like(stream, tf.nn.avg_pool2d(x, size, 1, "SAME")) - x
        for axis in (1, 2):
            x = _with_margins(x, axis, lambda margin: mark.like(stream, margin))
        weights = np.full((3, 3), 15 / 135)
        weights[1, 1] = -120 / 135
        kernel = _constant(np.broadcast_to(weights[:, :, None, None], (3, 3, int(x.shape[-1]), 1)))
        limit = 127 / 135  # makes one step 1 / 135
        kernel = tf.quantization.fake_quant_with_min_max_vars(
            kernel, -limit, limit, num_bits=8, narrow_range=True
        )
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")

    def _mlp(
        self, block: FoldedBlock, scale: np.ndarray, x: tf.Tensor, place: Place, mark: Marker
    ) -> tf.Tensor:
        centered, rstd = _statistics(x, scale, place.at("norm2"), mark)
        hidden = mark(place.at("normed"), centered * rstd)
        kernel = block.mlp.fc1_kernel * scale[:, None]
        hidden = mark(place.at("fc1"), _convolution(hidden, kernel, block.mlp.fc1_bias))
        activate = ACTIVATION_FUNCTIONS[block.mlp.activation]
        hidden = mark(place.at("hidden"), activate(hidden))
        kernel, bias = block.mlp.fc2_kernel / scale, block.mlp.fc2_bias / scale
        branch = mark(place.at("mlp"), _convolution(hidden, kernel, bias))
        return mark(place.at(MLP_SUM), x + branch)

    def _pyramid(self, streams: list[tf.Tensor], mark: Marker) -> dict[str, tf.Tensor]:
        """The streams on the model's scale, or normed."""
        outputs = {}
        for index, (x, scale) in enumerate(zip(streams, self.scales, strict=True)):
            level = f"P{index + 2}"
            place = Place(index, None, "pyramid")
            norm = self.network.stages[index].norm
            if norm is None:
                outputs[level] = mark(place, x * _constant(scale))
                continue
            centered, rstd = _statistics(x, scale, place.at("pyramid norm"), mark)
            x = mark(place.at("pyramid normed"), centered * rstd)
            x = mark(place.at("pyramid unshifted"), x * _constant(norm.gamma * scale))
            outputs[level] = mark(place, x + _constant(norm.beta))
        return outputs

    def head(self, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        """Returns logits or embedding of the last stream."""
        head = cast(FoldedHead, self.network.head)
        scale = self.scales[-1]
        if head.kind == "norm_pool":
            centered, rstd = _statistics(x, scale, HEAD, mark)
            x = mark(HEAD.at("head pooled"), _spatial_mean(centered))
        else:
            x = mark(HEAD.at("head pooled"), _spatial_mean(x))
            x, rstd = _statistics(x, scale, HEAD, mark, LAYER_NORM_EPSILON)
        x = tf.reshape(mark(HEAD.at("head normed"), x * rstd), (-1, scale.size))
        if head.kernel.ndim == 1:
            x = mark(OUTPUT.at("output unshifted"), x * _constant(head.kernel * scale))
            return mark(OUTPUT, x + _constant(head.bias))
        kernel = _constant(head.kernel * scale[:, None])
        return mark(OUTPUT, tf.matmul(x, kernel) + _constant(head.bias))


def _statistics(
    x: tf.Tensor, scale: np.ndarray, place: Place, mark: Marker, epsilon: float = NORM_EPSILON
) -> tuple[tf.Tensor, tf.Tensor]:
    """(x - mean) / s of x / s, (N, H, W, C), and 1 / sqrt(variance + epsilon), (N, 1, 1, 1)."""
    channels = scale.size

    def across_channels(means: tf.Tensor, weights: np.ndarray, bias: float = 0.0) -> tf.Tensor:
        product = tf.matmul(tf.reshape(means, (-1, channels)), _constant(weights))
        return tf.reshape(product + _constant(np.full(weights.shape[1], bias)),
                          (-1, 1, 1, weights.shape[1]))  # fmt: skip

    means = mark(place.step("means"), _spatial_mean(x))
    mean = mark(place.step("mean"), across_channels(means, (scale / channels)[:, None]))
    mean = mark(place.step("scaled mean"), mean * _constant(1 / scale))
    centered = mark(place.step("centered"), x - mean)
    squares = mark(place.step("squares"), centered * centered)
    squares = mark(place.step("square means"), _spatial_mean(squares))
    weights = (scale**2 / channels)[:, None]
    variance = mark(place.step("variance"), across_channels(squares, weights, epsilon))
    return centered, mark(place.step("rstd"), tf.math.rsqrt(variance))


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
        return same_range(tf.reduce_mean(tf.slice(x, begin, size), axis, keepdims=True))

    return same_range(tf.concat([margin(0), x, margin(length - 2)], axis))


def _spatial_mean(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(x, [1, 2], keepdims=True)


def _convolution(
    x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, stage: FoldedStage | None = None
) -> tf.Tensor:
    stride = stage.stride if stage else 1
    margin = (stage.padding, stage.padding) if stage else (0, 0)
    padding = [(0, 0), margin, margin, (0, 0)]
    return tf.nn.conv2d(x, _constant(kernel), stride, padding) + _constant(bias)


def _constant(array: np.ndarray) -> tf.Tensor:
    # Made outside the graph that is being traced and captured by it: inside, a SavedModel and
    # the converter would hold several copies of the weights, 3 GB more for m48.
    with tf.init_scope():
        return tf.constant(np.asarray(array, np.float32))
