"""Random input for a network."""

import numpy as np

from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError


def random_image(model: TFLiteModel) -> np.ndarray:
    """Returns one image of noise, always the same one.

    Args:
        model: Model that will take the image.

    Returns:
        An array of `model.input_shape` and `model.input_dtype`: floats from the standard normal
        distribution, or integers from their whole range.

    Raises:
        InputError: The input is neither of floats nor of integers.
    """
    shape, dtype = model.input_shape, model.input_dtype
    generator = np.random.default_rng(0)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return generator.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    raise InputError(f"{model.path} must take floats or integers. Received: {dtype.name}")
