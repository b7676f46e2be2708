"""The losses that transformers computes from `labels`, as Keras' own."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

LOSSES: dict[str, Callable[[], Any]] = {
    "single_label_classification": functools.partial(
        keras.losses.SparseCategoricalCrossentropy, from_logits=True
    ),
    "multi_label_classification": functools.partial(
        keras.losses.BinaryCrossentropy, from_logits=True
    ),
    "regression": keras.losses.MeanSquaredError,
}


def default_loss(config: MetaFormerConfig, problem_type: str | None = None) -> keras.losses.Loss:
    """Returns the loss of the logits of a classifier.

    Args:
        config: Architecture of the classifier.
        problem_type: Meaning of its logits. By default the config's; if that is None,
            "regression" for a single output, else "single_label_classification".

    Raises:
        InputError: The problem type is unknown, or there are no logits.
    """
    default = "regression" if config.num_classes == 1 else "single_label_classification"
    problem_type = problem_type or config.problem_type
    make_loss = LOSSES.get(problem_type or default)
    if make_loss is None or not config.num_classes:
        raise InputError(
            f"`problem_type` must be one of {', '.join(LOSSES)}, of a model with classes. "
            f"Received: {shown(problem_type)}, {config.num_classes} classes"
        )
    return make_loss()
