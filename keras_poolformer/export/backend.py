"""Exports go through TensorFlow's graphs, whatever else Keras can run on."""

import keras

from keras_poolformer.errors import InputError


def require_tensorflow():
    """Raises InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"exports need Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow and load "
            f"the model again. Received: KERAS_BACKEND={keras.backend.backend()}"
        )
