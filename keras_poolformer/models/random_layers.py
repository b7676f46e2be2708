"""The layers that draw random numbers: stochastic depth and dropout.

By default they draw from a `SeedGenerator` of their own, as Keras' layers do. A training loop can
put another source in its place (`drawing_with`), such as one whose numbers belong to the examples
of a batch, on whichever device they are.
"""

import contextlib
import contextvars

import keras
from keras import layers, ops

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


def _draw_uniform(shape, generator):
    return keras.random.uniform(shape, dtype="float32", seed=generator)


_draw = contextvars.ContextVar("draw", default=_draw_uniform)


@contextlib.contextmanager
def drawing_with(draw):
    """Has the random layers that are called inside draw their numbers by a function.

    Args:
        draw: Function of a shape, whose first dimension is the batch, and of the layer's
            `SeedGenerator`; returns float32 numbers of that shape, uniform in [0, 1).
    """
    token = _draw.set(draw)
    try:
        yield
    finally:
        _draw.reset(token)


def _dropped(inputs, rate, mask_shape, generator):
    """Sets a fraction `rate` of the inputs to 0, and scales the others up by 1 / (1 - rate)."""
    # Drawn in float32: uniform bfloat16 has too few values to hit a rate exactly.
    kept = ops.cast(_draw.get()(mask_shape, generator) >= rate, inputs.dtype)
    return inputs * kept / (1.0 - rate)


@_register
class DropPath(layers.Layer):
    """Stochastic depth (arXiv 1603.09382): drops a residual branch for whole images.

    Args:
        rate: probability that an image's branch is dropped; the others are scaled up by
            1 / (1 - rate).
        seed: of the random stream, or None.

    Call arguments:
        inputs: (N, ...).
        training: whether anything is dropped.

    Returns:
        The same shape.
    """

    def __init__(self, rate=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        if rate:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not self.rate or not training:
            return inputs
        batch = ops.shape(inputs)[0]  # pyright: ignore[reportOptionalSubscript]
        one_per_image = (batch, *[1] * (len(inputs.shape) - 1))
        return _dropped(inputs, self.rate, one_per_image, self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@_register
class Dropout(layers.Dropout):
    """Keras' dropout, whose numbers a training loop can draw (`drawing_with`)."""

    def call(self, inputs, training=False):
        if not self.rate or not training:
            return inputs
        return _dropped(inputs, self.rate, ops.shape(inputs), self.seed_generator)
