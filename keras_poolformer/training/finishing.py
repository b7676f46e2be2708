"""Writes the results of a run: the model, the best one if it is another, curve and figures."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.messages import one_line
from keras_poolformer.training.checkpoints import Checkpoints
from keras_poolformer.training.curve import draw_curve
from keras_poolformer.training.results import TrainingResult, score_name
from keras_poolformer.training.run import RESULT, Run
from keras_poolformer.training.tables import last_evaluation
from keras_poolformer.training.tasks import Model
from keras_poolformer.training.writing import write_model


def finish(
    run: Run,
    model: Model,
    optimizer: keras.optimizers.Optimizer,
    checkpoints: Checkpoints,
    step: int,
    chief: bool,
) -> TrainingResult:
    """Writes the results of a run that has ended.

    Args:
        run: Run that has ended.
        model: Trained model.
        optimizer: Optimizer that trained it.
        checkpoints: Checkpoints of the run.
        step: Last step.
        chief: Whether this process writes.

    Raises:
        InputError: A file cannot be written.
    """
    best_step, best_score = checkpoints.best if run.evaluation else (-1, None)
    best = {f"best_{score_name(run.recipe.config)}": best_score}
    result = TrainingResult(step, True, step < run.last_step, **best)
    with _writing(run.workdir):
        if not chief:
            return result
        write_model(run.workdir / "model", model, optimizer, step)
        draw_curve(run.workdir)
        if run.evaluation:
            result = dataclasses.replace(result, evaluation=last_evaluation(run.workdir))
        if best_step == step:
            _remove_best(run.workdir)
        elif best_step >= 0:
            _write_best(run, model, optimizer, checkpoints)
        with replacing(run.workdir / RESULT, overwrite=True) as written:
            written.write_text(
                json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8", newline="\n"
            )
    return result


def _write_best(
    run: Run,
    model: Model,
    optimizer: keras.optimizers.Optimizer,
    checkpoints: Checkpoints,
) -> None:
    """Writes the best model; a missing checkpoint of it does not stop the rest."""
    try:
        step = checkpoints.restore_best()
    except InputError as error:
        print(f"best.keras was not written: {error}", file=sys.stderr)
        return
    write_model(run.workdir / "best", model, optimizer, step)


def _remove_best(workdir: Path) -> None:
    """Removes the best model of a shorter run, since that of the last step is better."""
    for suffix in (".keras", ".safetensors"):
        (workdir / "best").with_suffix(suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    """Says how to repeat the writing, which is all that is left to do."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"the results cannot be written to {workdir}: {one_line(error)}. The training is "
            "saved: rerun the same command to write them"
        ) from error
