"""The end of a run: the model, the best one where it is another, the curve and the figures."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.messages import one_line
from keras_poolformer.training.curve import draw_curve
from keras_poolformer.training.run import RESULT
from keras_poolformer.training.tables import last_evaluation
from keras_poolformer.training.writing import write_model


def finish(run, model, optimizer, checkpoints, step: int, chief: bool) -> dict:
    """Writes the results of a run that has ended.

    Args:
        run: A `Run`.
        model: Trained model.
        optimizer: Optimizer that trained it.
        checkpoints: Its `Checkpoints`.
        step: Last step.
        chief: Whether this process writes.

    Returns:
        {"step", "finished", ...} and, where there is an evaluation, its last figures.

    Raises:
        InputError: A file cannot be written.
    """
    result: dict = {"step": step, "finished": True}
    if step < run.last_step:
        result["stopped_early"] = True
    with _writing(run.workdir):
        if chief:
            write_model(run.workdir / "model", model, optimizer, step)
            draw_curve(run.workdir)
        if run.evaluation:
            best_step, result["best_top1"] = checkpoints.best
            if chief:
                result |= last_evaluation(run.workdir)
            if chief and best_step == step:
                _remove_best(run.workdir)
            elif chief and best_step >= 0:
                _write_best(run, model, optimizer, checkpoints)
        if chief:
            with replacing(run.workdir / RESULT, overwrite=True) as written:
                written.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _write_best(run, model, optimizer, checkpoints):
    """Writes the best model; without its checkpoint, everything else is finished all the same."""
    try:
        step = checkpoints.restore_best()
    except InputError as error:
        print(f"best.keras is not written: {error}", file=sys.stderr)
        return
    write_model(run.workdir / "best", model, optimizer, step)


def _remove_best(workdir):
    """Removes what a shorter run left: the model of the last step is the best one now."""
    for suffix in (".keras", ".safetensors"):
        (workdir / "best").with_suffix(suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    """Says how to repeat what failed: nothing but the writing is left to do."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"the results cannot be written to {workdir}: {one_line(error)}. The training is "
            "saved: rerun the same command to write them"
        ) from error
