"""The checkpoints of a run: its complete state at the last steps, and at the best one."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line
from keras_poolformer.training.checkpoint_files import CheckpointFiles

KEPT = 2  # last checkpoints; if the newest is corrupt, the one before it is read


class Checkpoints:
    """Saves and restores weights, optimizer, averaged weights and step.

    There is no more state: data, mixing and random layers are functions of seed and step.

    Args:
        folder: Folder of the checkpoints, local or gs://.
        model: Built model.
        optimizer: Built optimizer.
        chief: Whether this process writes; the others only read.
    """

    def __init__(
        self,
        folder: str | Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        chief: bool = True,
    ) -> None:
        self._chief, self._folder = chief, str(folder)
        self._step = tf.Variable(0, dtype=tf.int64, name="step")
        self._best_step = tf.Variable(-1, dtype=tf.int64, name="best_step")
        self._best_score = tf.Variable(-1.0, dtype=tf.float64, name="best_score")
        # As lists of variables: tf.train.Checkpoint(model=model) silently omits what Keras does
        # not track.
        checkpoint = tf.train.Checkpoint(
            step=self._step,
            best_step=self._best_step,
            best_score=self._best_score,
            model=list(model.variables),
            optimizer=list(optimizer.variables),
        )
        self._checkpoint = checkpoint
        self._last = CheckpointFiles(f"{folder}/last", KEPT)
        self._best = CheckpointFiles(f"{folder}/best", 1)

    @property
    def step(self) -> int:
        """Number of steps of the state that was saved or restored last."""
        return int(self._step.numpy())

    @property
    def best(self) -> tuple[int, float]:
        """Step and score of the best evaluation; step -1 before the first one."""
        return int(self._best_step.numpy()), float(self._best_score.numpy())

    def restore(self) -> int:
        """Restores the last state; returns its step, or 0 if there are no checkpoints.

        If the last checkpoint is corrupt, the one before it is restored, and stderr says so.

        Raises:
            InputError: No checkpoint can be read: all are corrupt, or of another model.
        """
        errors: list[InputError] = []
        for step in reversed(self._last.steps()):
            try:
                self._last.read(self._checkpoint, step)
            except InputError as error:
                errors.append(error)
                continue
            if errors and self._chief:
                print(f"resuming from step {step}: {errors[0]}", file=sys.stderr)
            return self.step
        if errors:
            raise InputError(
                f"{errors[0]}. Delete {self._folder} to start again from the first step"
            )
        return 0

    def restore_best(self) -> int:
        """Restores the state of the best evaluation; returns its step.

        Raises:
            InputError: The checkpoint is missing or corrupt.
        """
        step = self.best[0]
        if step not in self._best.steps():
            raise InputError(f"the best evaluation's checkpoint {self._best.path(step)} is missing")
        self._best.read(self._checkpoint, step)
        return step

    def save(self, step: int) -> None:
        """Writes the state after `step` steps."""
        self._step.assign(step)
        self._write(self._last, step)

    def save_if_best(self, step: int, score: float) -> None:
        """Writes the state if its score is higher than all before.

        Args:
            step: Number of steps that were taken.
            score: Top-1 or mIoU of the evaluation.
        """
        self._step.assign(step)
        # A run that was stopped between the two saves gets here twice with the same step.
        if score > self.best[1] or step == self.best[0]:
            self._best_step.assign(step)
            self._best_score.assign(score)
            self._write(self._best, step)

    def _write(self, files: CheckpointFiles, step: int) -> None:
        if not self._chief:
            return
        try:
            files.write(self._checkpoint, step)
        except (tf.errors.OpError, OSError) as error:
            raise InputError(
                f"the checkpoint of step {step} cannot be written to {self._folder}: "
                f"{one_line(error)}"
            ) from error


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Gives the model the optimizer's averaged weights within the block, if there are any."""
    if not optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    values = [np.array(variable) for variable in variables]
    # Private: Keras 3.12 to 3.15 have it, and no public name for it.
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(np.array(average))
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def has_checkpoint(folder: str | Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return bool(CheckpointFiles(f"{folder}/last", KEPT).steps())
