"""One training step of one replica: a pure function of weights, images, labels and seeds.

XLA compiles it as a whole: shapes are static, and there are no host calls. What random layers draw
is a function of the step's seed, the layer, and the example's place in the global batch
(`data.randomness`): their generators have no state that a checkpoint could miss, and an example has
the same masks on every replica and in every part of a batch. For this Keras' own step, whose layers
advance a state and mask a whole batch at once, is not used.

Batch normalization, which only segmenters have, is the exception: its means are those of all
replicas, but of each part by itself, and its moving statistics are weights.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from keras_poolformer.models.activations import Activation, compiling_with
from keras_poolformer.models.random_layers import drawing_with
from keras_poolformer.training.tasks import Task

_PHILOX = 1  # value of tf.random.Algorithm
_BLOCK = 4  # numbers for each value of the Philox counter


@dataclass(frozen=True)
class TrainStep:
    """The training step.

    Args:
        model: Model to train.
        optimizer: Built optimizer.
        task: What its logits are for.
        global_batch: Number of images of all replicas together, by which the loss is divided.
        parts: Number of parts in which a replica processes its batch, one after the other.
        jit_compile: Whether XLA compiles the step, or with several replicas the gradients; not
            for TPUs, where it compiles everything.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    task: Task
    global_batch: int
    parts: int = 1
    jit_compile: bool = False

    @tf.autograph.experimental.do_not_convert  # no Python here depends on values
    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates the weights; must be called in a replica context, by `strategy.run`.

        Args:
            images: float (b, H, W, C). Normalized images.
            labels: int (b, ...). Classes of the images, or of their pixels.
            draw: float32 (4,). The fields of a `MixingDraw`.
            seed: int32 (2,). Seed of the step.

        Returns:
            This replica's share of (loss, accuracy): the sums over replicas are the batch's.
        """
        context = tf.distribute.get_replica_context()
        batch = self.global_batch // context.num_replicas_in_sync
        # Batches of several workers have no static size.
        images = tf.ensure_shape(images, (batch, *images.shape[1:]))
        labels = tf.ensure_shape(labels, (batch, *labels.shape[1:]))
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch
        update = self._update
        if self.jit_compile and context.num_replicas_in_sync == 1:
            update = tf.function(update, jit_compile=True, autograph=False)
        return update(images, labels, draw, seed, first)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        compute, statistics = self.gradients, self._statistics()
        if self.jit_compile and not statistics:  # everything except what replicas exchange
            compute = tf.function(compute, jit_compile=True, autograph=False)
        gradients, loss, correct, moved = compute(images, labels, draw, seed, first)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        for statistic, value in zip(statistics, moved, strict=True):
            statistic.assign(value)
        return loss, correct

    def gradients(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: int | tf.Tensor = 0,
    ) -> tuple[list[Any], tf.Tensor, tf.Tensor, list[Any]]:
        """Computes what one replica contributes to a step.

        Args:
            images: float (b, H, W, C). Normalized images.
            labels: int (b, ...). Classes of the images, or of their pixels.
            draw: float32 (4,). The fields of a `MixingDraw`.
            seed: int32 (2,). Seed of the step.
            first: Scalar int32. Place of the first image in the global batch.

        Returns:
            (this replica's share of the gradients, loss and accuracy, in float32; the moving
            statistics of batch normalization after the step).
        """
        images = tf.cast(images, self.model.compute_dtype)
        statistics = [statistic.value for statistic in self._statistics()]
        if self.parts == 1:
            return self._part(images, labels, draw, seed, first, statistics)
        size = labels.shape[0] // self.parts
        images, labels = (
            tf.reshape(rows, (self.parts, size, *rows.shape[1:])) for rows in (images, labels)
        )

        def add_part(index: tf.Tensor, sums: Any, moved: Any) -> tuple[tf.Tensor, Any, Any]:
            place = first + index * size
            *part, moved = self._part(images[index], labels[index], draw, seed, place, moved)
            return index + 1, tf.nest.map_structure(tf.add, sums, part), moved

        variables = self.model.trainable_variables
        zeros = [tf.zeros(variable.shape, tf.float32) for variable in variables]
        start = (tf.constant(0), [zeros, tf.constant(0.0), tf.constant(0.0)], statistics)
        # One after the other, because in parallel they would not save memory.
        _, sums, moved = tf.while_loop(
            lambda index, *_: index < self.parts,
            add_part,
            start,
            parallel_iterations=1,
            maximum_iterations=self.parts,
        )
        return *sums, moved

    def _part(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        seed: tf.Tensor,
        first: int | tf.Tensor,
        statistics: list[Any],
    ) -> tuple[list[Any], tf.Tensor, tf.Tensor, list[Any]]:
        images, targets = self.task.mixed(images, labels, draw)
        with tf.GradientTape() as tape:
            logits, moved = self._logits(images, seed, first, statistics)
            losses, accuracies = self.task.scored(logits, targets, labels)
            loss = tf.reduce_sum(losses) / self.global_batch
        variables = [variable.value for variable in self.model.trainable_variables]
        correct = tf.reduce_sum(accuracies) / self.global_batch
        return tape.gradient(loss, variables), loss, correct, moved

    def _logits(
        self, images: tf.Tensor, seed: tf.Tensor, first: int | tf.Tensor, statistics: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        """The logits, and the moving statistics that computing them updates."""
        states = [variable for variable in self.model.variables if _is_seed(variable)]
        keys = tf.random.split(seed, max(len(states), 1))
        mapping = [(state, tf.cast(keys[index], state.dtype)) for index, state in enumerate(states)]
        variables = self._statistics()
        mapping += zip(variables, statistics, strict=True)
        scope = keras.StatelessScope(state_mapping=mapping)
        with scope, drawing_with(_draw_from(first)), compiling_with(self._compile):
            logits = tf.cast(self.model(images, training=True), tf.float32)
        return logits, [scope.get_current_value(variable) for variable in variables]

    def _compile(self, function: Activation) -> Activation:
        """Has XLA compile an activation, where it compiles nothing around it and there are CPUs."""
        if self.jit_compile or _accelerators():
            return function
        return _by_xla(function)

    def _statistics(self) -> list[keras.Variable]:
        """The moving means and variances of batch normalization."""
        return [variable for variable in self.model.variables if _is_statistic(variable)]


def _accelerators() -> bool:
    """Whether there is any device other than CPUs."""
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


@functools.cache  # layers of the same shape share what is compiled
def _by_xla(function: Activation) -> Activation:
    """Makes XLA compile a function of one tensor, and its gradient, to a single loop each.

    TensorFlow alone runs GELU and its gradient as chains of operations, and each reads and writes
    the whole tensor.
    """

    @functools.partial(tf.function, jit_compile=True, autograph=False)
    def backward(inputs: tf.Tensor, upstream: tf.Tensor) -> Any:
        # What the gradient needs of the forward pass is computed again: cheaper than to keep it.
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs: Any = function(inputs)
        gradient: Any = tape.gradient(outputs, [inputs], output_gradients=[upstream])
        return gradient[0]

    forward: Any = tf.function(function, jit_compile=True, autograph=False)

    @tf.custom_gradient
    def both(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
        return forward(inputs), functools.partial(backward, inputs)

    return both


def _is_seed(variable: keras.Variable) -> bool:
    return variable.path.endswith("seed_generator_state")


def _is_statistic(variable: keras.Variable) -> bool:
    return variable.path.endswith(("/moving_mean", "/moving_variance"))


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


@dataclass(frozen=True)
class EvaluationStep:
    """The evaluation step of one replica.

    Args:
        model: Model to evaluate.
        task: What its logits are for.
    """

    model: keras.Model
    task: Task

    @tf.autograph.experimental.do_not_convert  # no Python here depends on values
    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns `Task.sums` of a batch."""
        return self.task.sums(tf.cast(self.model(images, training=False), tf.float32), labels)
