"""One training step of one replica: a pure function of weights, images, labels and seeds.

XLA compiles it as a whole: shapes are static, and there are no host calls. What random layers draw
is a function of the step's seed, the layer, and the example's place in the global batch
(`data.randomness`): their generators have no state that a checkpoint could miss, and an example has
the same masks on every replica and in every part of a batch. For this Keras' own step, whose layers
advance a state and mask a whole batch at once, is not used.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_poolformer.data.augmentation.mixing import Mixing, mix
from keras_poolformer.evaluation.accuracy import TOP
from keras_poolformer.models.random_layers import drawing_with

_PHILOX = 1  # value of tf.random.Algorithm
_BLOCK = 4  # numbers for each value of the Philox counter


@dataclass(frozen=True)
class TrainStep:
    """The training step.

    Args:
        model: Model to train.
        optimizer: Built optimizer.
        mixing: Mixing of the batches.
        num_classes: Number of classes of the labels.
        global_batch: Number of images of all replicas together, by which the loss is divided.
        parts: Number of parts in which a replica processes its batch, one after the other.
        jit_compile: Whether XLA compiles the step, or with several replicas the gradients; not
            for TPUs, where it compiles everything.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    mixing: Mixing
    num_classes: int
    global_batch: int
    parts: int = 1
    jit_compile: bool = False

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates the weights; must be called in a replica context, by `strategy.run`.

        Args:
            images: float (b, H, W, C). Normalized images.
            labels: int (b,). Classes of the images.
            draw: float32 (4,). The fields of a `MixingDraw`.
            seed: int32 (2,). Seed of the step.

        Returns:
            This replica's share of (loss, accuracy): the sums over replicas are the batch's.
        """
        context = tf.distribute.get_replica_context()
        batch = self.global_batch // context.num_replicas_in_sync
        # Batches of several workers have no static size.
        images = tf.ensure_shape(images, (batch, *images.shape[1:]))
        labels = tf.ensure_shape(labels, (batch,))
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch
        update = self._update
        if self.jit_compile and context.num_replicas_in_sync == 1:
            update = tf.function(update, jit_compile=True)
        return update(images, labels, draw, seed, first)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        compute = self.gradients
        if self.jit_compile:  # everything except what replicas exchange
            compute = tf.function(compute, jit_compile=True)
        gradients, loss, correct = compute(images, labels, draw, seed, first)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return loss, correct

    def gradients(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: int | tf.Tensor = 0,
    ) -> tuple[list[Any], tf.Tensor, tf.Tensor]:
        """Returns this replica's share of the gradients, loss and accuracy, in float32.

        Args:
            images: float (b, H, W, C). Normalized images.
            labels: int (b,). Classes of the images.
            draw: float32 (4,). The fields of a `MixingDraw`.
            seed: int32 (2,). Seed of the step.
            first: Scalar int32. Place of the first image in the global batch.
        """
        images = tf.cast(images, self.model.compute_dtype)
        if self.parts == 1:
            return self._part(images, labels, draw, seed, first)
        size = labels.shape[0] // self.parts
        images = tf.reshape(images, (self.parts, size, *images.shape[1:]))
        labels = tf.reshape(labels, (self.parts, size))

        def add_part(index: tf.Tensor, sums: Any) -> tuple[tf.Tensor, Any]:
            part = self._part(images[index], labels[index], draw, seed, first + index * size)
            return index + 1, tf.nest.map_structure(tf.add, sums, part)

        variables = self.model.trainable_variables
        zeros = [tf.zeros(variable.shape, tf.float32) for variable in variables]
        start = (tf.constant(0), (zeros, tf.constant(0.0), tf.constant(0.0)))
        # One after the other, because in parallel they would not save memory.
        _, sums = tf.while_loop(
            lambda index, _: index < self.parts,
            add_part,
            start,
            parallel_iterations=1,
            maximum_iterations=self.parts,
        )
        return sums

    def _part(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: int | tf.Tensor,
    ) -> tuple[list[Any], tf.Tensor, tf.Tensor]:
        images, targets = mix(self.mixing, images, labels, self.num_classes, draw)
        with tf.GradientTape() as tape:
            logits = self._logits(images, seed, first)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_sum(losses) / self.global_batch
        variables = [variable.value for variable in self.model.trainable_variables]
        right = tf.equal(tf.argmax(logits, -1, tf.int32), tf.cast(labels, tf.int32))
        correct = tf.reduce_sum(tf.cast(right, tf.float32)) / self.global_batch
        return tape.gradient(loss, variables), loss, correct

    def _logits(self, images: tf.Tensor, seed: tf.Tensor, first: int | tf.Tensor) -> tf.Tensor:
        states = [variable for variable in self.model.variables if _is_seed(variable)]
        keys = tf.random.split(seed, max(len(states), 1))
        mapping = [(state, tf.cast(keys[index], state.dtype)) for index, state in enumerate(states)]
        with keras.StatelessScope(state_mapping=mapping), drawing_with(_draw_from(first)):
            return tf.cast(self.model(images, training=True), tf.float32)


def _is_seed(variable: keras.Variable) -> bool:
    return variable.path.endswith("seed_generator_state")


def _draw_from(
    first: int | tf.Tensor,
) -> Callable[[tuple[int, ...], keras.random.SeedGenerator], tf.Tensor]:
    """Makes the function with which random layers draw for images of a global batch.

    Each image has the same number of blocks of a counter-based generator, at its place in the
    batch, so that what it draws does not depend on the other images.

    Args:
        first: Place of the first image in the global batch.
    """

    def draw(shape: tuple[int, ...], generator: keras.random.SeedGenerator) -> tf.Tensor:
        count = math.prod(shape[1:])
        blocks = -(-count // _BLOCK)
        key = tf.bitcast(tf.cast(generator.next(), tf.uint32), tf.uint64)
        skipped = tf.cast(first, tf.uint64) * blocks
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=(shape[0], blocks * _BLOCK),
            key=tf.reshape(key, (1,)),
            counter=tf.stack((skipped, tf.zeros_like(skipped))),
            alg=_PHILOX,
            dtype=tf.uint32,
        )
        # From whole numbers, because XLA and TensorFlow make floats of different bits of them.
        numbers = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32)
        numbers *= 2.0**-24
        return tf.reshape(numbers[:, :count], shape)

    return draw


class EvaluationSums(NamedTuple):
    """Sums over the images of a batch or a split; as a tensor, float (4,).

    Attributes:
        loss: Sum of the losses.
        top1: Number of images whose class has the highest score.
        top5: Number of images whose class is among the five highest scores.
        images: Number of images.
    """

    loss: Any
    top1: Any
    top5: Any
    images: Any


@dataclass(frozen=True)
class EvaluationStep:
    """The evaluation step of one replica.

    Args:
        model: Model to evaluate.
    """

    model: keras.Model

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns `EvaluationSums` as float32 (4,), over the images whose label is not -1."""
        logits = tf.cast(self.model(images, training=False), tf.float32)
        real = labels >= 0
        labels = tf.where(real, labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        # Equal scores rank in the order of the classes, as in `evaluation.accuracy`, which has
        # the same rule in numpy: here it runs on the device, there without TensorFlow.
        score = tf.gather(logits, labels[:, None], batch_dims=1)
        is_lower_class = tf.range(logits.shape[-1], dtype=labels.dtype)[None] < labels[:, None]
        before = (logits > score) | (tf.equal(logits, score) & is_lower_class)
        rank = tf.reduce_sum(tf.cast(before, tf.int32), -1)
        sums = EvaluationSums(losses, rank < 1, rank < TOP, real)
        rows = tf.stack([tf.cast(values, tf.float32) for values in sums])
        return tf.reduce_sum(tf.where(real[None], rows, tf.zeros_like(rows)), -1)
