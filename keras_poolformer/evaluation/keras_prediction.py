"""How a Keras model predicts: soon for one batch, and fast for many."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel


def predictor(model: "MetaFormerModel") -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch of prepared images to what the model returns for it.

    TensorFlow takes a second to make a graph of the network, which pays from the fourth batch on
    (poolformer_s12, 8 images of 224 pixels); so the first batch runs layer by layer. PyTorch has
    no graph, and JAX would compile each layer.

    Args:
        model: Model that returns one array.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    started = False

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal started
        if started:
            return model.predict_on_batch(images)
        started = True
        return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))

    return predict
