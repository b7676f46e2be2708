"""The model and the optimizer of a recipe, made inside a strategy's scope."""

import contextlib

import keras
import tensorflow as tf

from keras_poolformer.loading import load_preset
from keras_poolformer.model import PoolFormerImageClassifier
from keras_poolformer.quantization import refuse_quantized
from keras_poolformer.training.optimizer import AdamW, WarmupCosine


def build_model(recipe, class_names, init, seed):
    """Makes the model.

    Args:
        recipe: a `Recipe`.
        class_names: of the data, which become the model's labels.
        init: preset or checkpoint whose architecture and weights are taken (a classifier for
            other classes starts fresh), or None for fresh weights of the recipe's own.
        seed: of the fresh weights.

    Raises:
        InputError: `init` cannot be used.
    """
    keras.utils.set_random_seed(seed)  # Keras' initializers draw their seeds from Python's
    # One right class an image is what the steps train for, whatever `init` was made for.
    settings = {
        "num_classes": len(class_names),
        "labels": tuple(class_names),
        "problem_type": None,
    }
    with _policy(recipe.precision):
        if init is None:
            model = PoolFormerImageClassifier(recipe.config.replace(**settings))
        else:
            kept = ("drop_path_rate", "dropout_rate")
            settings |= {name: getattr(recipe.config, name) for name in kept}
            model = load_preset(PoolFormerImageClassifier, init, overrides=settings)
    refuse_quantized(model)
    model.trainable = True  # also what was frozen when `init` was saved
    if recipe.frozen == "backbone":
        model.backbone.trainable = False
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
        recipe.warmup_epochs * steps_per_epoch,
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
    return optimizer
