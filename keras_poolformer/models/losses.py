"""The losses of classifiers, as transformers computes them from `labels`, and of segmenters."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.models.resizing import resize_bilinear, sides_of
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


_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class PixelCrossEntropy(keras.losses.Loss):
    """Cross entropy of the class of each pixel.

    The logits are resized to the masks' size, bilinearly with the centers of pixels aligned. The
    mean is over all pixels; those with the label 255 count as 0, as mmsegmentation's
    `CrossEntropyLoss` has it by default (`avg_non_ignore=False`).

    Args:
        reduction: Reduction over the images, as Keras' losses have it.
        name: Name of the loss.
        dtype: Dtype of the computation; by default float32.

    Call arguments:
        y_true: (N, H, W) or (N, H, W, 1) class numbers, 255 for none.
        y_pred: (N, h, w, classes) logits.
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "pixel_cross_entropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        masks = ops.cast(ops.squeeze(y_true, -1) if len(y_true.shape) == 4 else y_true, "int32")
        logits = resize_bilinear(y_pred, *sides_of(masks))
        has_class = ops.not_equal(masks, IGNORED_LABEL)
        classes = ops.where(has_class, masks, ops.zeros_like(masks))
        losses = ops.sparse_categorical_crossentropy(classes, logits, from_logits=True)
        losses = ops.where(has_class, losses, ops.zeros_like(losses))
        return ops.mean(losses, axis=(1, 2))


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
