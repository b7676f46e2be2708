"""Mixup (arXiv 1710.09412), cutmix (1905.04899) and label smoothing, as timm's recipes use them.

timm draws one weight for a batch and mixes the batch with its reverse. Here every image is mixed
with its neighbor: for a shuffled batch that is equivalent, and any even part of a batch can be
mixed independently. So a batch gives the same mixture on one device, on many, and in parts. The
layers of Keras draw a weight for each image from a state, and do not switch between the two.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_poolformer.support.errors import InputError


class MixingDraw(NamedTuple):
    """How one batch is mixed; as a tensor, float32 (4,).

    Attributes:
        share: Weight of an image outside the box; the rest is its neighbor's.
        side: Side of the box over that of the image; 0 for no box. The box is the neighbor's.
        y: Center of the box from the top, 0 to 1.
        x: Center of the box from the left, 0 to 1.
    """

    share: Any
    side: Any
    y: Any
    x: Any


@dataclass(frozen=True)
class Mixing:
    """How batches are mixed before the loss.

    Args:
        mixup: Parameter of mixup's beta distribution; 0 for no mixup.
        cutmix: Parameter of cutmix's beta distribution; 0 for no cutmix.
        probability: Float between 0 and 1. Fraction of batches that are mixed.
        switch: Float between 0 and 1. Fraction of the mixed batches that get cutmix, where both
            are on.
        label_smoothing: Float between 0 and 1. Fraction of the target that is spread over all
            classes.

    Raises:
        InputError: A value is out of range.
    """

    mixup: float = 0.8
    cutmix: float = 1.0
    probability: float = 1.0
    switch: float = 0.5
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"`{name}` must be 0 to {most}. Received: {value!r}")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, which requires an even number of them."""
        return (self.mixup > 0 or self.cutmix > 0) and self.probability > 0

    def draw(self, seed: int, step: int) -> MixingDraw:
        """Draws how the batch of a step is mixed.

        Drawn on the host: TPUs have no beta distribution.

        Args:
            seed: Whole number from 0. Seed of the run.
            step: Whole number from 0. Steps before this one.

        Returns:
            A `MixingDraw`, which is a function of both.
        """
        random = np.random.default_rng((seed, step))
        chance, choice, y, x = random.random(4)
        share, side = 1.0, 0.0
        if self.mixes and chance < self.probability:
            if self.cutmix and (not self.mixup or choice < self.switch):
                side = np.sqrt(1 - random.beta(self.cutmix, self.cutmix))
            else:
                share = random.beta(self.mixup, self.mixup)
        return MixingDraw(np.float32(share), np.float32(side), np.float32(y), np.float32(x))


_MOST = {"mixup": 1000, "cutmix": 1000, "probability": 1, "switch": 1, "label_smoothing": 1}


def mix(
    options: Mixing,
    images: tf.Tensor,
    labels: tf.Tensor,
    num_classes: int,
    draw: MixingDraw | tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes a batch, or an even part of one.

    Args:
        options: How batches are mixed.
        images: float (N, H, W, C). N is even, H and W are static if images are mixed.
        labels: int (N,). Classes of the images.
        num_classes: Number of classes, K.
        draw: How this batch is mixed; a `MixingDraw`, or float32 (4,) with its fields.

    Returns:
        (images, float32 targets (N, K), each of which sums to 1).
    """
    off = options.label_smoothing / num_classes
    targets = tf.one_hot(labels, num_classes, 1.0 - options.label_smoothing + off, off)
    if not options.mixes:
        return images, targets
    draw = MixingDraw(*tf.unstack(tf.convert_to_tensor(draw, tf.float32)))
    height, width = images.shape[1:3]
    rows, columns = _inside(height, draw.side, draw.y), _inside(width, draw.side, draw.x)
    box = rows[:, None] & columns[None, :]
    # One weighted sum does both: weights are 0 or 1 for cutmix, and between them for mixup.
    weights = tf.where(box, 0.0, draw.share)
    partners = _neighbors(images)
    mixed = partners + tf.cast(weights, images.dtype)[None, :, :, None] * (images - partners)
    kept = tf.reduce_mean(weights)
    return mixed, kept * targets + (1.0 - kept) * _neighbors(targets)


def _neighbors(rows: tf.Tensor) -> tf.Tensor:
    """Swaps the two rows of each pair."""
    pairs = tf.reshape(rows, (-1, 2, *rows.shape[1:]))
    return tf.reshape(tf.reverse(pairs, (1,)), tf.shape(rows))


def _inside(length: int, side: tf.Tensor, center: tf.Tensor) -> tf.Tensor:
    """bool (length,): which pixels the box covers, as timm's `rand_bbox`."""
    middle = tf.cast(center * length, tf.int32)
    covered = tf.cast(length * side, tf.int32)
    pixels = tf.range(length)
    return (pixels >= middle - covered // 2) & (pixels < middle + (covered + 1) // 2)
