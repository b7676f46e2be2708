"""Copies weights from one model to another one of nearly the same architecture."""

from collections.abc import Collection

import keras
import numpy as np

from keras_poolformer.checkpoints.stem import adapt_stem
from keras_poolformer.support.errors import InputError

STEM = "stages_0_embedding/projection/kernel"


def copy_weights(old: keras.Model, model: keras.Model, fresh: Collection[str] = ()) -> None:
    """Copies variables by path.

    Args:
        old: Model that has the values.
        model: Model that gets them.
        fresh: Paths of variables that keep their values.

    Raises:
        InputError: A variable is missing or has another shape. Only the first convolution
            is adapted, to another number of image channels.
    """
    values = {variable.path: variable for variable in old.variables}
    for variable in model.weights:
        if variable.path in fresh:
            continue
        value = values.get(variable.path)
        if variable.path == STEM and value is not None:
            kernel = np.asarray(keras.ops.convert_to_numpy(value)).transpose(3, 2, 0, 1)
            value = adapt_stem(kernel, variable.shape[2]).transpose(2, 3, 1, 0)
        if value is None or value.shape != variable.shape:
            found = "no such variable" if value is None else f"shape {tuple(value.shape)}"
            raise InputError(
                f"the saved model does not fit: {variable.path} must have shape "
                f"{tuple(variable.shape)}. Received: {found}"
            )
        variable.assign(value)
