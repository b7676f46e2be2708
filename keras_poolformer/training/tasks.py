"""What the training of a classifier and that of a segmenter do not share: loss and figures."""

import abc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from keras_poolformer.data.augmentation.mixing import Mixing, mix
from keras_poolformer.evaluation.accuracy import TOP
from keras_poolformer.evaluation.iou import scores_of
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.models.resizing import resize_bilinear
from keras_poolformer.models.segmenter import PoolFormerSegmenter
from keras_poolformer.training.recipe import Recipe
from keras_poolformer.training.results import Evaluation

Model = PoolFormerImageClassifier | PoolFormerSegmenter


@dataclass(frozen=True)
class Task(abc.ABC):
    """A task.

    Args:
        num_classes: Number of classes of the labels.
        mixing: Mixing of the batches.
    """

    model_class: ClassVar[type[Model]]
    num_classes: int
    mixing: Mixing

    @property
    @abc.abstractmethod
    def num_sums(self) -> int:
        """Number of sums that `sums` returns."""

    @abc.abstractmethod
    def mixed(
        self, images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mixes a batch, or an even part of one.

        Args:
            images: float (N, H, W, C). Normalized images.
            labels: int (N, ...). Labels of the images.
            draw: float32 (4,). The fields of a `MixingDraw`.

        Returns:
            (images, targets of the loss).
        """

    @abc.abstractmethod
    def scored(
        self, logits: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns float32 (N,) losses and (N,) accuracies, 0 to 1, of images of a batch.

        Args:
            logits: float32 (N, ..., K).
            targets: What `mixed` returned.
            labels: int (N, ...). Labels of the images.
        """

    @abc.abstractmethod
    def sums(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns float32 (n,), which add up over batches to what `evaluation` takes.

        Args:
            logits: float32 (N, ..., K).
            labels: int (N, ...); those of rows that only fill a batch do not count.
        """

    @abc.abstractmethod
    def evaluation(self, sums: np.ndarray, num_images: int) -> Evaluation:
        """Returns the figures of a split.

        Args:
            sums: float64 (n,). What `sums` returned, added up.
            num_images: Number of images of the split.
        """


class Classification(Task):
    """A class for each image."""

    model_class = PoolFormerImageClassifier

    @property
    def num_sums(self) -> int:
        """See `Task.num_sums`."""
        return 3

    def mixed(
        self, images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Task.mixed`."""
        return mix(self.mixing, images, labels, self.num_classes, draw)

    def scored(
        self, logits: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Task.scored`."""
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        right = tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32))
        return losses, tf.cast(right, tf.float32)

    def sums(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Sums of losses, and of hits among the first one and the first five: float32 (3,)."""
        real = labels >= 0
        labels = tf.where(real, labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        # Equal scores rank in the order of the classes, as in `evaluation.accuracy`, which has
        # the same rule in numpy: here it runs on the device, there without TensorFlow.
        score = tf.gather(logits, labels[:, None], batch_dims=1)
        is_lower_class = tf.range(logits.shape[-1], dtype=labels.dtype)[None] < labels[:, None]
        before = (logits > score) | (tf.equal(logits, score) & is_lower_class)
        rank = tf.reduce_sum(tf.cast(before, tf.int32), -1)
        rows = tf.stack([tf.cast(row, tf.float32) for row in (losses, rank < 1, rank < TOP)])
        return tf.reduce_sum(tf.where(real[None], rows, tf.zeros_like(rows)), -1)

    def evaluation(self, sums: np.ndarray, num_images: int) -> Evaluation:
        """See `Task.evaluation`."""
        loss, top1, top5 = sums.tolist()
        return Evaluation(
            loss=loss / num_images,
            top1=100 * (top1 / num_images),
            top5=100 * (top5 / num_images) if self.num_classes >= TOP else None,
        )


class Segmentation(Task):
    """A class for each pixel, as mmsegmentation trains and counts it; 255 is no class."""

    model_class = PoolFormerSegmenter

    @property
    def num_sums(self) -> int:
        """See `Task.num_sums`."""
        return 1 + self.num_classes**2

    def mixed(
        self, images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns both as they are: masks are not mixed."""
        return images, labels

    def scored(
        self, logits: tf.Tensor, targets: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Task.scored`; pixels without a class have a loss of 0, and no accuracy."""
        logits = resize_bilinear(logits, *labels.shape[1:3])
        losses, real = _pixel_losses(logits, labels)
        right = tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32)) & real
        hits, total = (tf.reduce_sum(tf.cast(one, tf.float32), (1, 2)) for one in (right, real))
        return tf.reduce_mean(losses, (1, 2)), tf.math.divide_no_nan(hits, total)

    def sums(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The sum of losses, then pixels by true and by predicted class: float32 (1 + K * K,)."""
        logits = resize_bilinear(logits, *labels.shape[1:3])
        losses, real = _pixel_losses(logits, labels)
        predicted = tf.argmax(logits, -1, tf.int32)
        pairs = tf.cast(tf.where(real, labels, 0), tf.int32) * self.num_classes + predicted
        size = self.num_classes**2
        pairs = tf.reshape(tf.where(real, pairs, size), (-1,))
        counts = tf.math.unsorted_segment_sum(tf.ones_like(pairs), pairs, size + 1)[:size]
        return tf.concat(([tf.reduce_sum(losses)], tf.cast(counts, tf.float32)), 0)

    def evaluation(self, sums: np.ndarray, num_images: int) -> Evaluation:
        """See `Task.evaluation`."""
        pairs = sums[1:].reshape(self.num_classes, self.num_classes)
        scores = scores_of(pairs, num_images)
        return Evaluation(
            loss=float(sums[0] / pairs.sum()),
            mean_iou=scores.mean_iou,
            mean_accuracy=scores.mean_accuracy,
            pixel_accuracy=scores.pixel_accuracy,
        )


def _pixel_losses(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy of each pixel, 0 where there is no class; and where there is one."""
    real = tf.not_equal(labels, IGNORED_LABEL)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(real, labels, 0), logits)
    return tf.where(real, losses, 0.0), real


def task_of(recipe: Recipe, num_classes: int) -> Task:
    """Returns the task that a recipe trains for.

    Args:
        recipe: Recipe, whose config says the task.
        num_classes: Number of classes of the data.
    """
    kind = Segmentation if recipe.config.is_segmenter else Classification
    return kind(num_classes, recipe.mixing)
