"""All the state that a run has, on disk: the last steps, and the best one."""

import contextlib

import numpy as np
import tensorflow as tf

from keras_poolformer.errors import InputError

KEPT = 2  # of the last ones; one being written is never the only one


class Checkpoints:
    """Saves and restores weights, optimizer, averaged weights and position.

    A position is a step: data, mixing and random layers are functions of (seed, step).

    Args:
        folder: of the checkpoints, local or gs://.
        model, optimizer: built.
        chief: whether this process writes; the others only read.
    """

    def __init__(self, folder, model, optimizer, chief=True):
        self._chief, self._folder = chief, str(folder)
        self._step = tf.Variable(0, dtype=tf.int64, name="step")
        self._best_step = tf.Variable(-1, dtype=tf.int64, name="best_step")
        self._best_score = tf.Variable(-1.0, dtype=tf.float64, name="best_score")
        # As lists of variables: tf.train.Checkpoint(model=) leaves out what Keras does not
        # track, without a word.
        checkpoint = tf.train.Checkpoint(
            step=self._step,
            best_step=self._best_step,
            best_score=self._best_score,
            model=list(model.variables),
            optimizer=list(optimizer.variables),
        )
        self._last = tf.train.CheckpointManager(checkpoint, f"{folder}/last", KEPT)
        self._best = tf.train.CheckpointManager(checkpoint, f"{folder}/best", 1)

    @property
    def best(self):
        """(step, top-1) of the best evaluation; step -1 before the first."""
        return int(self._best_step.numpy()), float(self._best_score.numpy())

    def restore(self):
        """Restores the last state there is; returns its step, 0 where there is none.

        Raises:
            InputError: a checkpoint is damaged, or another model's.
        """
        if self._last.latest_checkpoint:
            return self._read(self._last)
        state = f"{self._last.directory}/checkpoint"
        if tf.io.gfile.exists(state):  # TensorFlow would begin anew
            raise InputError(
                f"{state} must name the last checkpoint; it is damaged. Delete {self._folder} to "
                "begin anew"
            )
        return 0

    def restore_best(self):
        """Restores the state of the best evaluation; returns its step."""
        return self._read(self._best)

    def save(self, step):
        """Writes the state after `step` steps."""
        self._step.assign(step)
        self._write(self._last, step)

    def save_if_best(self, step, score):
        """Writes the state if `score` is the highest so far; the earlier of two equal ones."""
        self._step.assign(step)
        # A run that was stopped between the two saves comes here twice with the same step.
        if score > self.best[1] or step == self.best[0]:
            self._best_step.assign(step)
            self._best_score.assign(score)
            self._write(self._best, step)

    def _write(self, manager, step):
        if not self._chief:
            return
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"the checkpoint of step {step} cannot be written to {self._folder}: {reason}"
            ) from error

    def _read(self, manager):
        path = manager.latest_checkpoint
        try:
            manager.checkpoint.restore(path).assert_existing_objects_matched()
        except (AssertionError, IndexError, RuntimeError, tf.errors.OpError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{path} must be a whole checkpoint of this model. Received: {reason}"
            ) from None
        return int(self._step.numpy())


@contextlib.contextmanager
def averaged_weights(model, optimizer):
    """Within the block the model has the optimizer's averaged weights, where it keeps any."""
    if not optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    own = [np.array(variable) for variable in variables]
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(np.array(average))
    try:
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)


def has_checkpoint(folder):
    """Whether there is something to go on from."""
    return tf.train.latest_checkpoint(f"{folder}/last") is not None
