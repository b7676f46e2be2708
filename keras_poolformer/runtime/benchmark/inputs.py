"""Data to run a network with when there is no image."""

import numpy as np

from keras_poolformer.support.errors import InputError


def random_image(model):
    """Makes one image of noise for a `TFLiteModel`.

    Args:
        model: that will take it.

    Returns:
        An array of `model.input_shape` and `model.input_dtype`: floats from the
        standard normal distribution, integers from their whole range. Always the same one.

    Raises:
        InputError: the input is neither of floats nor of integers.
    """
    shape, dtype = model.input_shape, model.input_dtype
    generator = np.random.default_rng(0)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return generator.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    raise InputError(f"{model.path} must take floats or integers. Received: {dtype.name}")
