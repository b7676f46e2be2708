"""The neck and head of a segmenter in 8 bits: plain convolutions, each behind its marker.

Enlarged maps keep the range of what they are made of, as LiteRT's integer kernels require.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.integer_operations import (
    constant,
    convolution,
    integer_statistics,
)
from keras_poolformer.export.networks.places import OUTPUT, Place
from keras_poolformer.export.networks.ranges import Marker
from keras_poolformer.export.networks.semantic_fpn import (
    FoldedConvolution,
    FoldedSemanticFpn,
    double_bilinear,
    double_nearest,
)


def integer_semantic_fpn(
    head: FoldedSemanticFpn,
    streams: Sequence[tf.Tensor],
    scales: Sequence[np.ndarray],
    mark: Marker,
) -> tf.Tensor:
    """Returns logits (N, H/4, W/4, classes).

    Args:
        head: Folded neck and head.
        streams: Outputs of the stages divided by their scales, (N, H/4, W/4, C0), ...
        scales: Scale of each stream, (C,).
        mark: Marker that every tensor passes through.
    """
    finest, *coarser = [
        _scale(head, level, x, mark) for level, x in enumerate(_neck(head, streams, scales, mark))
    ]
    place = OUTPUT if not coarser else OUTPUT.at("finest logits")
    logits = mark(place, _convolved(head.last, finest))
    if not coarser:
        return logits
    total, total_place = coarser[0], _scale_place(head, 1)
    for level, x in enumerate(coarser[1:], start=2):
        terms = (total_place, _scale_place(head, level))
        total_place = Place(level, None, "head sum")
        total = mark.sum(total_place, total + x, terms)
    coarse_place = OUTPUT.at("coarse logits")
    coarse = mark(coarse_place, convolution(total, head.last.kernel))
    doubled = mark.like(coarse_place, double_bilinear(coarse))
    return mark.sum(OUTPUT, logits + doubled, (place, coarse_place))


def _neck(
    head: FoldedSemanticFpn,
    streams: Sequence[tf.Tensor],
    scales: Sequence[np.ndarray],
    mark: Marker,
) -> list[tf.Tensor]:
    outputs: list[tf.Tensor] = []
    coarser: tf.Tensor | None = None
    for stage in reversed(range(len(streams))):
        place = Place(stage, None, "neck sum")
        lateral = place if coarser is None else place.at("neck lateral")
        x = mark(lateral, _lateral(head, stage, streams[stage], scales[stage], mark))
        if coarser is not None:
            above = Place(stage + 1, None, "neck sum")
            doubled = mark.like(above, double_nearest(coarser))
            x = mark.sum(place, x + doubled, (lateral, above))
        coarser = x
        outputs.insert(0, mark(place.at("neck output"), _convolved(head.outputs[stage], x)))
    return outputs


def _lateral(
    head: FoldedSemanticFpn, stage: int, x: tf.Tensor, scale: np.ndarray, mark: Marker
) -> tf.Tensor:
    """The norm of a stage's output, and the 1x1 convolution behind it."""
    place = Place(stage, None, "neck norm")
    normed = integer_statistics(x, scale, head.norm, place, mark).normed
    lateral = head.laterals[stage]
    kernel = lateral.kernel * scale[:, None]
    return convolution(mark(place.at("neck normed"), normed), kernel, lateral.bias)


def _scale(head: FoldedSemanticFpn, level: int, x: tf.Tensor, mark: Marker) -> tf.Tensor:
    for step, scale in enumerate(head.scales[level]):
        if step:
            x = mark.like(Place(level, step - 1, "head scale"), double_bilinear(x))
        x = mark(Place(level, step, "head scale"), tf.nn.relu(_convolved(scale, x)))
    return x


def _scale_place(head: FoldedSemanticFpn, level: int) -> Place:
    """Where a level's map leaves its last convolution."""
    return Place(level, len(head.scales[level]) - 1, "head scale")


def _convolved(folded: FoldedConvolution, x: tf.Tensor) -> tf.Tensor:
    """A convolution that keeps the size of a map, without a PAD before it."""
    return tf.nn.conv2d(x, constant(folded.kernel), 1, "SAME") + constant(folded.bias)
