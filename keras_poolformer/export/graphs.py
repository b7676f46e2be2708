"""TensorFlow graphs of a Keras model, the common ground of all exports."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from keras_poolformer.images.options import as_pair
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import BYTE_CLASSES
from keras_poolformer.labels import checked_labels
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.classifier import MetaFormerImageClassifier
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.runtime.description import SEGMENTATION
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.quiet import logger_limited

# A function of one tensor that returns a tensor or {name: tensor}.
GraphFunction: TypeAlias = Callable[[tf.Tensor], tf.Tensor | dict[str, tf.Tensor]]


def require_tensorflow() -> None:
    """Raises InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"exports need Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow and load "
            f"the model again. Received: KERAS_BACKEND={keras.backend.backend()}"
        )


def default_outputs(model: MetaFormerModel) -> str:
    """Returns what an export of a model returns by default: all that the model computes.

    Raises:
        InputError: The model is not of this package.
    """
    if not isinstance(model, MetaFormerImageClassifier | MetaFormerSegmenter | MetaFormerBackbone):
        raise InputError(
            "`model` must be a MetaFormerImageClassifier, MetaFormerSegmenter or "
            f"MetaFormerBackbone. Received: {type(model).__name__}"
        )
    if isinstance(model, MetaFormerBackbone):
        return "pyramid"
    return "logits" if model.config.num_classes else "embedding"


def described_task(model: MetaFormerModel, outputs: str) -> str | None:
    """Returns the task that the description of an exported file states.

    Args:
        model: Model that is exported.
        outputs: What the file returns.
    """
    is_segmenter = isinstance(model, MetaFormerSegmenter) and outputs != "pyramid"
    return SEGMENTATION if is_segmenter else None


def fixed_size(model: MetaFormerModel, transform: ImageTransform) -> ImageTransform:
    """Returns the transform with which the images of a file have one size.

    A segmenter's images are cropped nowhere, so their sizes differ; for a file, all become squares
    of the transform's `size`.

    Args:
        model: Model that is exported.
        transform: Transform of its images.
    """
    any_size = transform.output_shape is None and transform.do_resize
    if isinstance(model, MetaFormerSegmenter) and any_size:
        return transform.replace(size=as_pair(transform.size))
    return transform


def require_image_size(model: MetaFormerModel, transform: ImageTransform) -> None:
    """Raises InputError unless a model takes images of the size that a transform makes.

    Args:
        model: Model that is exported.
        transform: Transform of its images.
    """
    side = model.config.image_side
    if side is not None and transform.output_shape != (side, side):
        raise InputError(
            f"the random mixing of this model fixes the size of its images, so the transform must "
            f"make {side} x {side}. Received: {transform.output_shape}"
        )


def export_labels(
    model: MetaFormerModel, labels: Sequence[str] | np.ndarray | None = None
) -> tuple[str, ...]:
    """Returns the class names that a file gets, or () if there are none.

    Args:
        model: Model that is exported.
        labels: Class names, or None for those of the model's config.
    """
    if labels is None:
        return model.config.labels or ()
    return checked_labels(labels, model.config.num_classes)


def probabilities(model: MetaFormerModel, logits: tf.Tensor) -> tf.Tensor:
    """Returns the probabilities in a graph; a regression has none.

    Args:
        model: Classifier or segmenter that the logits are from.
        logits: Tensor (..., classes).
    """
    is_sigmoid = model.config.score_function == "sigmoid"
    return tf.nn.sigmoid(logits) if is_sigmoid else tf.nn.softmax(logits)


def label_map(
    logits: tf.Tensor, size: Any, mark: Callable[[tf.Tensor], tf.Tensor] = lambda resized: resized
) -> tf.Tensor:
    """Returns the class of each pixel in a graph, (N, height, width).

    Args:
        logits: Tensor (N, h, w, classes).
        size: (height, width) of the image, to which they are interpolated.
        mark: Function that the interpolated logits pass through.

    Returns:
        uint8; uint16 for more than 256 classes.
    """
    dtype = tf.uint8 if logits.shape[-1] <= BYTE_CLASSES else tf.uint16
    resized = mark(tf.image.resize(logits, size))
    return tf.cast(tf.argmax(resized, -1, tf.int32), dtype)


def has_probabilities(model: MetaFormerModel) -> bool:
    """Returns whether the logits of a model stand for probabilities."""
    return bool(model.config.num_classes) and model.config.score_function != "identity"


def affine_normalization(transform: ImageTransform) -> tuple[np.ndarray, np.ndarray]:
    """Returns scale and offset of each channel that normalize pixels as the transform does."""
    black, white = transform.normalize(np.uint8([[[0, 0, 0], [255, 255, 255]]]))[0]
    return (white - black) / 255, black


def save_graphs(
    path: str | os.PathLike[str],
    variables: Sequence[Any],
    endpoints: Sequence[tuple[str, GraphFunction, tf.TensorSpec]],
) -> None:
    """Writes functions as the signatures of a SavedModel.

    Keras' own ExportArchive writes each weight twice, as its variable and as TensorFlow's,
    and prints what it does.

    Args:
        path: Folder to write.
        variables: Keras variables that the functions use.
        endpoints: Name, function and input of each signature; the first is also
            `serving_default`.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in variables]
    signatures = {
        # There is no Python control flow for AutoGraph to translate.
        name: tf.function(function, input_signature=[spec], autograph=False)
        for name, function, spec in endpoints
    }
    signatures["serving_default"] = signatures[endpoints[0][0]]
    # In notebooks TensorFlow's logger also says where files went, temporary ones included.
    with logger_limited("tensorflow", logging.WARNING):
        tf.saved_model.save(module, str(path), signatures)
