"""The folded network in a form that loses little in 8 bits, still exact in real arithmetic.

- The stream x is carried as x / s with constants s for each channel, so that all channels fill the
  same 8-bit range. s goes into the convolutions before and after, into the mixers, and into the
  weights of the norms' statistics. A scaled shortcut changes s instead of the numbers, as long as
  they still fill the range (scaling.py).
- Pixels are not normalized first, which would round them: scale and offset go into the first
  convolution, whose padding becomes a frame of the pixel that would be normalized to 0.
- Mixers, heads and norms: integer_mixers.py, integer_head.py, integer_semantic_fpn.py,
  integer_operations.py.

Measurements: docs/quantization.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.folding import FoldedNetwork
from keras_poolformer.export.networks.integer_head import integer_head
from keras_poolformer.export.networks.integer_mixers import MixerInput, mix
from keras_poolformer.export.networks.integer_operations import (
    activated,
    apply_norm,
    constant,
    convolution,
    framed_convolution,
    integer_statistics,
    statistics_without_centering,
)
from keras_poolformer.export.networks.integer_semantic_fpn import integer_semantic_fpn
from keras_poolformer.export.networks.mixers import FoldedPooling
from keras_poolformer.export.networks.parts import FoldedBlock
from keras_poolformer.export.networks.places import (
    BRANCHES,
    EMBEDDING,
    MIXER_NORM,
    MIXER_SUM,
    MLP,
    MLP_SUM,
    PIXELS,
    PROJECTION,
    Place,
)
from keras_poolformer.export.networks.ranges import Marker
from keras_poolformer.export.networks.semantic_fpn import FoldedSemanticFpn


@dataclass(frozen=True)
class IntegerNetwork:
    """A network for one size of image; every tensor passes through a marker.

    Args:
        network: Folded network that it computes.
        scales: Constants s, (C,), of the stream at each of `stream_places(network)`.
        pixel_scale: Factor of each channel; normalized = pixel * pixel_scale + pixel_offset.
        pixel_offset: Offset of each channel.
    """

    network: FoldedNetwork
    scales: Mapping[Place, np.ndarray]
    pixel_scale: np.ndarray
    pixel_offset: np.ndarray

    def __call__(self, pixels: tf.Tensor, mark: Marker) -> tf.Tensor | dict[str, tf.Tensor]:
        """Runs the network.

        Args:
            pixels: float32 (N, H, W, 3) with values from 0 to 255.
            mark: Marker that every tensor passes through.

        Returns:
            Logits or embedding, (N, outputs); a segmenter's logits, (N, H/4, W/4, classes).
            Without a head the pyramid, normed where a stage has a norm:
            {"P2": (N, H/4, W/4, C), ...}.
        """
        x = pixels
        streams = []
        for index, stage in enumerate(self.network.stages):
            x = self.embedding(index, x, mark)
            for number in range(len(stage.blocks)):
                x = self.block(index, number, x, mark)
            streams.append(x)
        head = self.network.head
        scales = [self._last_scale(index) for index in range(len(streams))]
        if head is None:
            return self._pyramid(streams, mark)
        if isinstance(head, FoldedSemanticFpn):
            return integer_semantic_fpn(head, streams, scales, mark)
        return integer_head(head, x, scales[-1], mark)

    def embedding(self, index: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        """Runs the convolution that opens a stage, with its norms.

        Args:
            index: Index of the stage.
            x: Pixels, or the stream of the stage before.
            mark: Marker that every tensor passes through.

        Returns:
            The stream of the stage.
        """
        stage = self.network.stages[index]
        place = Place(index, None, EMBEDDING)
        if index:
            return self._later_embedding(index, x, mark)
        projection = place if stage.norm_after is None else place.at(PROJECTION)
        scale = self.scales[projection]
        kernel = stage.kernel * self.pixel_scale[:, None] / scale
        bias = stage.bias + (stage.kernel * self.pixel_offset[:, None]).sum((0, 1, 2))
        pixel = -self.pixel_offset / self.pixel_scale  # what becomes 0 when it is normalized
        x = framed_convolution(
            x, kernel, bias / scale, stage.stride, stage.padding, pixel,
            functools.partial(mark.like, PIXELS),
        )  # fmt: skip
        x = mark(projection, x)
        if stage.norm_after is None:
            return x
        return apply_norm(stage.norm_after, x, scale, self.scales[place], place, mark)

    def _later_embedding(self, index: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        stage, place = self.network.stages[index], Place(index, None, EMBEDDING)
        given = self._last_place(index - 1)
        before, scale = self.scales[given], self.scales[place]
        if stage.norm_before is not None:
            is_scaled = stage.norm_before.gamma is not None
            normed = np.ones_like(before) if is_scaled else before
            given = place.at("embedding input")
            x = apply_norm(stage.norm_before, x, before, normed, given, mark)
            given = given if is_scaled else given.at("embedding input normed")
            before = normed
        kernel = stage.kernel * before[:, None] / scale
        x = framed_convolution(
            x, kernel, stage.bias / scale, stage.stride, stage.padding, np.zeros_like(before),
            functools.partial(mark.like, given),
        )  # fmt: skip
        return mark(place, x)

    def block(self, index: int, number: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
        """Runs one block, from stream to stream.

        Args:
            index: Index of the stage.
            number: Index of the block in the stage.
            x: Stream of the stage.
            mark: Marker that every tensor passes through.
        """
        block = self.network.stages[index].blocks[number]
        stream = Place(index, None, EMBEDDING)
        if number:
            stream = Place(index, number - 1, MLP_SUM)
        place = Place(index, number, MIXER_SUM)
        branch = self._mixer(block, x, stream, place, mark)
        x = self._sum(x, stream, block.mixer_shortcut, branch, place, mark)
        stream, place = place, Place(index, number, MLP_SUM)
        branch = self._mlp(block, x, stream, place, mark)
        return self._sum(x, stream, block.mlp_shortcut, branch, place, mark)

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

    def _mixer(
        self, block: FoldedBlock, x: tf.Tensor, stream: Place, place: Place, mark: Marker
    ) -> tf.Tensor:
        scale = self.scales[stream]
        is_blind = isinstance(block.mixer, FoldedPooling) and not block.norm.per_pixel
        take = statistics_without_centering if is_blind else integer_statistics
        statistics = take(x, scale, block.norm, place.at(MIXER_NORM), mark)
        given = MixerInput(x, stream, statistics, scale, self.scales[place], place, mark)
        return mix(block.mixer, given)

    def _mlp(
        self, block: FoldedBlock, x: tf.Tensor, stream: Place, place: Place, mark: Marker
    ) -> tf.Tensor:
        mlp, scale, out_scale = block.mlp, self.scales[stream], self.scales[place]
        statistics = integer_statistics(x, scale, block.norm, place.at("norm2"), mark)
        hidden = mark(place.at("normed"), statistics.normed)
        hidden = convolution(hidden, mlp.fc1_kernel * scale[:, None], mlp.fc1_bias)
        hidden = activated(mlp.activation, hidden, place.at("fc1"), place.at("hidden"), mark)
        kernel, bias = mlp.fc2_kernel / out_scale, mlp.fc2_bias / out_scale
        return mark(place.at(MLP), convolution(hidden, kernel, bias))

    def _sum(
        self,
        x: tf.Tensor,
        stream: Place,
        shortcut: np.ndarray | None,
        branch: tf.Tensor,
        place: Place,
        mark: Marker,
    ) -> tf.Tensor:
        """Shortcut plus branch; the factor of a shortcut that is not in the scales is a MUL."""
        factor = self.scales[stream] / self.scales[place]
        factor = factor if shortcut is None else factor * shortcut
        if not np.allclose(factor, 1, rtol=1e-9, atol=0):
            stream = place.at(f"{place.role} shortcut")
            x = mark(stream, x * constant(factor))
        return mark.sum(place, x + branch, (stream, place.at(BRANCHES[place.role])))

    def _pyramid(self, streams: list[tf.Tensor], mark: Marker) -> dict[str, tf.Tensor]:
        """The streams on the model's scale, or normed."""
        outputs = {}
        for index, x in enumerate(streams):
            level = f"P{index + 2}"
            scale, place = self._last_scale(index), Place(index, None, "pyramid")
            norm = self.network.stages[index].norm
            if norm is None:
                outputs[level] = mark(place, x * constant(scale))
            else:
                outputs[level] = apply_norm(norm, x, scale, np.ones_like(scale), place, mark)
        return outputs

    def _last_scale(self, index: int) -> np.ndarray:
        """The scale of a stage's output."""
        return self.scales[self._last_place(index)]

    def _last_place(self, index: int) -> Place:
        """The place of a stage's output."""
        return Place(index, len(self.network.stages[index].blocks) - 1, MLP_SUM)
