"""The lines at the start of a run: what trains, from which weights, at which rates."""

import dataclasses

import numpy as np

from keras_poolformer.training.recipe import Recipe
from keras_poolformer.training.run import Run
from keras_poolformer.training.starting import StartingPoint
from keras_poolformer.training.tasks import Model

_FOLLOWS_FROM_DATA = ("num_classes", "labels", "problem_type", "feature_norms")
_OPTIMIZERS = {"adamw": "AdamW", "lamb": "LAMB"}
_SCHEDULES = {"cosine": "", "poly": "polynomial ", "constant": "constant "}
_SHOWN_OF_TRANSFORM = ("size", "crop_pct", "interpolation", "mean", "std")


def start_lines(run: Run, model: Model, start: StartingPoint | None) -> list[str]:
    """Returns the lines to print before training starts.

    Args:
        run: Run with its effective recipe.
        model: Model of the run.
        start: Where the weights come from, or None for fresh ones.
    """
    return [_weights_line(run, model, start), _rates_line(run)]


def _weights_line(run: Run, model: Model, start: StartingPoint | None) -> str:
    recipe, classes = run.recipe, f"{len(run.training.class_names):,} classes"
    if start is None:
        origin = f"fresh weights, {classes}"
    else:
        classifier = "fresh classifier" if start.fresh_classifier else "its classifier kept"
        if start.fresh_neck:
            classifier = "fresh neck and head"
        origin = f"weights of {run.init}, {classifier}, {classes}"
    trained, total = (
        sum(int(np.prod(variable.shape)) for variable in variables)
        for variables in (model.trainable_variables, model.weights)
    )
    frozen = f" (frozen={recipe.frozen})" if recipe.frozen else ""
    transform = ", ".join(
        f"{name}={_value(getattr(recipe.transform, name))}" for name in _SHOWN_OF_TRANSFORM
    )
    changes = _changes(recipe, start) if start else ""
    return f"{origin}; {trained:,} of {total:,} parameters train{frozen}; {transform}{changes}"


def _changes(recipe: Recipe, start: StartingPoint) -> str:
    """The options that differ from the checkpoint's, with both values."""
    changes = [
        f"{field.name}={_value(new)} instead of {_value(old)}"
        for before, after in ((start.config, recipe.config), (start.transform, recipe.transform))
        for field in dataclasses.fields(before)
        if field.name not in _FOLLOWS_FROM_DATA
        and (old := getattr(before, field.name)) != (new := getattr(after, field.name))
    ]
    return f"; overridden: {', '.join(changes)}" if changes else "; all as in the checkpoint"


def _rates_line(run: Run) -> str:
    recipe, steps = run.recipe, run.steps_per_epoch
    if "learning_rate" in recipe.chosen:
        reason = " as set"
    elif recipe.batch_scaling != "none":
        reason = f" for this batch_size (batch_scaling={recipe.batch_scaling})"
    else:
        reason = ""
    backbone = recipe.learning_rate * recipe.backbone_learning_rate_scale
    schedule = _SCHEDULES[recipe.schedule]
    rates = f"{schedule}learning rate {recipe.learning_rate:.3g}{reason}"
    if not recipe.frozen and backbone != recipe.learning_rate:
        rates += f", of the backbone {backbone:.3g}"
    return (
        f"{_OPTIMIZERS[recipe.optimizer]}, {rates}, weight decay {recipe.weight_decay:g}; "
        f"{recipe.all_epochs} epochs of {steps:,} steps of {recipe.batch_size:,} images, "
        f"{run.warmup_steps:,} steps of warm-up"
    )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))})"
    return str(value)
