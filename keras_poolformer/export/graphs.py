"""TensorFlow graphs of a Keras model, the common ground of all exports."""

import logging

import keras
import numpy as np
import tensorflow as tf

from keras_poolformer.labels import checked_labels
from keras_poolformer.models.backbone import PoolFormerBackbone
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.quiet import logger_limited


def require_tensorflow():
    """Raises InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"exports need Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow and load "
            f"the model again. Received: KERAS_BACKEND={keras.backend.backend()}"
        )


def default_outputs(model):
    """What an export of a model returns if nobody says: all that the model computes."""
    if not isinstance(model, PoolFormerImageClassifier | PoolFormerBackbone):
        raise InputError(
            f"`model` must be a PoolFormerImageClassifier or PoolFormerBackbone. "
            f"Received: {type(model).__name__}"
        )
    if isinstance(model, PoolFormerBackbone):
        return "pyramid"
    return "logits" if model.config.num_classes else "embedding"


def export_labels(model, labels=None):
    """The class names that a file gets: those given, or the config's; () if there are none."""
    if labels is None:
        return model.config.labels or ()
    return checked_labels(labels, model.config.num_classes)


def probabilities(model, logits):
    """The probabilities in a graph; a regression has none.

    Args:
        model: The classifier.
        logits: Tensor (N, classes).
    """
    is_sigmoid = model.config.score_function == "sigmoid"
    return tf.nn.sigmoid(logits) if is_sigmoid else tf.nn.softmax(logits)


def has_probabilities(model):
    """Whether the logits of a classifier stand for probabilities."""
    return bool(model.config.num_classes) and model.config.score_function != "identity"


def affine_normalization(transform):
    """Scale and offset per channel that do to pixels what `transform.normalize` does."""
    black, white = transform.normalize(np.uint8([[[0, 0, 0], [255, 255, 255]]]))[0]
    return (white - black) / 255, black


def save_graphs(path, variables, endpoints):
    """Writes functions as the signatures of a SavedModel.

    Keras' own ExportArchive writes each weight twice, as its variable and as TensorFlow's,
    and prints what it does.

    Args:
        path: the directory to write.
        variables: Keras variables that the functions use.
        endpoints: [(name, function of one tensor, its `tf.TensorSpec`), ...]; the first is
            also `serving_default`.
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
