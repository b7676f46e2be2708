"""The model and the optimizer of a recipe, made inside a strategy's scope."""

import contextlib
import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from keras_poolformer import lineage
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.models.weights import STEM, copy_weights
from keras_poolformer.training import starting
from keras_poolformer.training.optimizer import AdamW, WarmupCosine


def build_model(recipe, class_names, init, seed):
    """Makes the model, and says in a recipe what it is.

    Args:
        recipe: A `Recipe`.
        class_names: Names of the data's classes, which become the model's labels.
        init: Preset or checkpoint whose architecture, weights and transform are taken (a
            classifier for other classes starts fresh), or None for fresh weights of the recipe's
            own architecture.
        seed: Seed of the fresh weights.

    Returns:
        (the model, the recipe with the model's config and transform, the `StartingPoint` or None).

    Raises:
        InputError: `init` cannot be used, or the recipe's settings do not fit it.
    """
    recipe.check_init(init)
    keras.utils.set_random_seed(seed)  # Keras' initializers draw their seeds from Python's
    with _policy(recipe.precision):
        if init is None:
            config, start = starting.for_classes(recipe.config, class_names), None
            starting.check_channels(config)
            model = PoolFormerImageClassifier(config)
            recipe = dataclasses.replace(recipe, config=config)
        else:
            loaded = PoolFormerImageClassifier.from_preset(init)
            refuse_quantized(loaded)
            fresh = starting.needs_fresh_classifier(recipe, loaded.config, class_names)
            start = starting.StartingPoint(loaded.config, loaded.transform, fresh)
            config = starting.config_on(recipe, loaded.config, class_names, init)
            starting.check_channels(config)
            model = _with_weights(config, loaded, fresh)
            recipe = starting.recipe_on(recipe, config, start.transform)
    if recipe.frozen == "backbone":
        model.backbone.trainable = False
    return model, recipe, start


def _with_weights(config, loaded, fresh_classifier):
    """A model with the weights of a loaded one, but perhaps the classifier's."""
    model = PoolFormerImageClassifier(config)
    head = [variable.path for variable in model.weights if variable.path.startswith("head/")]
    copy_weights(loaded, model, head if fresh_classifier else ())
    model.provenance = loaded.provenance
    if fresh_classifier:
        model.provenance = model.provenance.replace(new_tensors=tuple(head))
    if config.in_channels != loaded.config.in_channels:
        model.provenance = model.provenance.replace(adapted_tensors=(STEM,))
    return model


@contextlib.contextmanager
def _policy(precision):
    if precision == "auto":
        on_tpu = isinstance(tf.distribute.get_strategy(), tf.distribute.TPUStrategy)
        precision = "mixed_bfloat16" if on_tpu else "float32"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_optimizer(recipe, model, steps_per_epoch):
    """Makes AdamW with the recipe's schedule, its variables made.

    Args:
        recipe: a `Recipe`.
        model: whose trainable variables it updates.
        steps_per_epoch: of the data.
    """
    schedule = WarmupCosine(
        recipe.learning_rate,
        recipe.all_epochs * steps_per_epoch,
        round(recipe.warmup_epochs * steps_per_epoch),
        recipe.cooldown_epochs * steps_per_epoch,
        recipe.warmup_learning_rate,
        recipe.min_learning_rate,
    )
    optimizer = AdamW(
        schedule,
        recipe.weight_decay,
        recipe.beta_1,
        recipe.beta_2,
        recipe.epsilon,
        global_clipnorm=recipe.clip_norm or None,
        use_ema=recipe.ema_decay > 0,
        ema_momentum=recipe.ema_decay,
    )
    optimizer.schedule = schedule
    optimizer.build(model.trainable_variables)
    optimizer.scale_learning_rate(
        model.backbone.trainable_variables, recipe.backbone_learning_rate_scale
    )
    return optimizer


def trained_provenance(run, model):
    """Returns what a trained model says of its origin: what it is, and what it began as.

    Args:
        run: The `Run`, with the recipe that is really trained.
        model: The model, as `build_model` made it.
    """
    # The source of trained weights says what they were trained on, and is not a name.
    name = Path(run.init).name if model.provenance.training else ""
    started = lineage.started_from(model.provenance, name)
    return started.replace(
        source=f"keras-poolformer train on {run.training.name}",
        transform=run.recipe.transform,
        training=dataclasses.replace(started.training, seed=run.seed),
    )
