"""Builds the model and the optimizer of a recipe, inside the scope of a strategy."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_poolformer import lineage, sources
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.loading import build
from keras_poolformer.models.weights import STEM, copy_weights
from keras_poolformer.provenance import Provenance
from keras_poolformer.training import starting
from keras_poolformer.training.optimizer import AdamW, Lamb, WarmupCosine, WarmupPoly
from keras_poolformer.training.recipe import Recipe
from keras_poolformer.training.run import Run
from keras_poolformer.training.starting import StartingPoint
from keras_poolformer.training.tasks import Model, task_of

_OPTIMIZERS = {"adamw": AdamW, "lamb": Lamb}
# What a checkpoint of another task leaves to the recipe.
_FIELDS_OF_HEADS = ("neck_width", "segmentation_width")


class Built(NamedTuple):
    """A model to train.

    Attributes:
        model: The model.
        recipe: The effective recipe, with the config and the transform of the model.
        start: Where the weights come from, or None for fresh ones.
    """

    model: Model
    recipe: Recipe
    start: StartingPoint | None


def build_model(recipe: Recipe, class_names: Sequence[str], init: str | None, seed: int) -> Built:
    """Builds the model of a recipe.

    Args:
        recipe: Recipe of the run.
        class_names: Class names of the data, which become the model's labels.
        init: Preset or checkpoint whose architecture, weights and transform are used (a
            classifier for other classes starts fresh), or None for fresh weights of the recipe's
            architecture.
        seed: Seed of the fresh weights.

    Raises:
        InputError: `init` cannot be used, or the settings of the recipe do not fit it.
    """
    recipe.check_init(init)
    keras.utils.set_random_seed(seed)  # Keras' initializers seed themselves from Python's generator
    model_class = task_of(recipe, len(class_names)).model_class
    with _policy(recipe.precision):
        if init is None:
            config, start = starting.for_classes(recipe.config, class_names), None
            starting.check_images(config, recipe.augmentation.size)
            model = model_class(config)
            recipe = dataclasses.replace(recipe, config=config)
        else:
            loaded, fresh_neck = _loaded(recipe, model_class, init)
            fresh = starting.needs_fresh_classifier(recipe, loaded.config, class_names)
            start = starting.StartingPoint(loaded.config, loaded.transform, fresh, fresh_neck)
            config = starting.config_on(recipe, loaded.config, class_names, init)
            starting.check_images(config, recipe.augmentation.size)
            model = _with_weights(config, loaded, fresh)
            recipe = starting.recipe_on(recipe, config, start.transform)
    if recipe.frozen == "backbone":
        model.backbone.trainable = False
    return Built(model, recipe, start)


def _loaded(recipe: Recipe, model_class: type[Model], init: str) -> tuple[Model, bool]:
    """The model of a source, and whether all but its backbone is fresh, a segmenter's neck too."""
    contents = sources.resolve(init).read()
    is_other_task = recipe.config.is_segmenter and not contents.config.is_segmenter
    fields = {name: getattr(recipe.config, name) for name in _FIELDS_OF_HEADS if is_other_task}
    loaded = build(model_class, contents, fields)
    refuse_quantized(loaded)
    return loaded, is_other_task


def _with_weights(config: MetaFormerConfig, loaded: Model, fresh_classifier: bool) -> Model:
    """A model with the weights of a loaded one, those of a fresh classifier excepted."""
    model = type(loaded)(config)
    head = [variable.path for variable in model.weights if variable.path.startswith("head/")]
    copy_weights(loaded, model, head if fresh_classifier else ())
    model.provenance = loaded.provenance
    if fresh_classifier:
        new = dict.fromkeys((*loaded.provenance.new_tensors, *head))
        model.provenance = model.provenance.replace(new_tensors=tuple(new))
    if config.in_channels != loaded.config.in_channels:
        model.provenance = model.provenance.replace(adapted_tensors=(STEM,))
    return model


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Sets Keras' dtype policy within the block."""
    if precision == "auto":
        on_tpu = isinstance(tf.distribute.get_strategy(), tf.distribute.TPUStrategy)
        precision = "mixed_bfloat16" if on_tpu else "float32"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_schedule(recipe: Recipe, steps_per_epoch: int) -> WarmupCosine | WarmupPoly:
    """Makes the recipe's schedule of the learning rate.

    Args:
        recipe: Recipe of the run.
        steps_per_epoch: Number of steps in an epoch of the data.
    """
    constant = recipe.schedule == "constant"  # a cosine that ends where it begins
    schedule = WarmupPoly if recipe.schedule == "poly" else WarmupCosine
    return schedule(
        recipe.learning_rate,
        recipe.all_epochs * steps_per_epoch,
        round(recipe.warmup_epochs * steps_per_epoch),
        recipe.cooldown_epochs * steps_per_epoch,
        recipe.warmup_learning_rate,
        recipe.learning_rate if constant else recipe.min_learning_rate,
    )


def build_optimizer(
    recipe: Recipe, model: Model, schedule: WarmupCosine | WarmupPoly
) -> AdamW | Lamb:
    """Makes the recipe's optimizer, its variables made.

    Args:
        recipe: Recipe of the run.
        model: Model whose trainable variables it updates.
        schedule: Learning rate of each step.
    """
    optimizer = _OPTIMIZERS[recipe.optimizer](
        schedule,
        recipe.weight_decay,
        recipe.beta_1,
        recipe.beta_2,
        recipe.epsilon,
        global_clipnorm=recipe.clip_norm or None,
        use_ema=recipe.ema_decay > 0,
        ema_momentum=recipe.ema_decay,
    )
    optimizer.build(model.trainable_variables)
    optimizer.scale_learning_rate(
        model.backbone.trainable_variables, recipe.backbone_learning_rate_scale
    )
    return optimizer


def trained_provenance(run: Run, model: Model) -> Provenance:
    """Returns the provenance of a trained model: the training, and the weights it started from.

    Args:
        run: Run with its effective recipe.
        model: Model as `build_model` returned it.
    """
    # The source of trained weights says what they were trained on, which is not their name.
    name = Path(run.init).name if model.provenance.training else ""
    started = lineage.started_from(model.provenance, name)
    return started.replace(
        source=f"keras-poolformer train on {run.training.name}",
        transform=run.recipe.transform,
        training=dataclasses.replace(started.training, seed=run.seed),
    )
