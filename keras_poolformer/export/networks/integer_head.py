"""The head in 8 bits: from the last stream to logits or embedding."""

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.integer_operations import (
    activated,
    constant,
    integer_statistics,
    spatial_mean,
)
from keras_poolformer.export.networks.operations import NormKind
from keras_poolformer.export.networks.parts import FoldedHead, FoldedHeadMlp
from keras_poolformer.export.networks.places import HEAD, OUTPUT
from keras_poolformer.export.networks.ranges import Marker
from keras_poolformer.models.heads import LAYER_NORM_EPSILON


def integer_head(head: FoldedHead, x: tf.Tensor, scale: np.ndarray, mark: Marker) -> tf.Tensor:
    """Returns logits (N, classes) or embedding (N, C).

    Args:
        head: Folded head.
        x: Last stream divided by its scale, (N, H, W, C).
        scale: Scale of the stream, (C,).
        mark: Marker that every tensor passes through.
    """
    x = tf.reshape(_normed_mean(head, x, scale, mark), (-1, scale.size))
    if head.kernel.ndim == 1:
        unshifted = OUTPUT.at("output unshifted")
        x = mark(unshifted, x * constant(head.kernel * scale))
        return mark.sum(OUTPUT, x + constant(head.bias), (unshifted,))
    outputs = tf.matmul(x, constant(head.kernel * scale[:, None])) + constant(head.bias)
    return mark(OUTPUT, outputs) if head.mlp is None else _rest_of_mlp(head.mlp, outputs, mark)


def _normed_mean(head: FoldedHead, x: tf.Tensor, scale: np.ndarray, mark: Marker) -> tf.Tensor:
    """The normalized mean over H and W, divided by the scale, (N, 1, 1, C)."""
    pooled, normed = HEAD.at("head pooled"), HEAD.at("head normed")
    if head.kind == "pool_norm":
        x = mark(pooled, spatial_mean(x))
        kind = NormKind(False, LAYER_NORM_EPSILON)
        return mark(normed, integer_statistics(x, scale, kind, HEAD, mark).normed)
    statistics = integer_statistics(x, scale, head.norm, HEAD, mark)
    if statistics.per_pixel:
        return mark(pooled, spatial_mean(mark(normed, statistics.normed)))
    return mark(normed, mark(pooled, spatial_mean(statistics.centered)) * statistics.rstd)


def _rest_of_mlp(mlp: FoldedHeadMlp, x: tf.Tensor, mark: Marker) -> tf.Tensor:
    place = HEAD.at("head mlp norm")
    width = mlp.kernel.shape[0]
    x = activated("relu2", x, HEAD.at("head fc1"), HEAD.at("head hidden"), mark)
    x = tf.reshape(x, (-1, 1, 1, width))
    kind = NormKind(False, mlp.epsilon)
    x = integer_statistics(x, np.ones(width), kind, place, mark).normed
    x = tf.reshape(mark(HEAD.at("head mlp normed"), x), (-1, width))
    return mark(OUTPUT, tf.matmul(x, constant(mlp.kernel)) + constant(mlp.bias))
