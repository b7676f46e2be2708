"""The layers that draw random numbers: stochastic depth and dropout.

By default each draws from its own `SeedGenerator`, as Keras' layers do. A training loop can
replace it (`drawing_with`), for instance by a function whose numbers belong to the examples of a
batch, whichever device they are on.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import layers, ops

Draw = Callable[[Any, Any], Any]  # (shape, generator) -> float32 numbers

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


def _draw_uniform(shape: Any, generator: Any) -> Any:
    return keras.random.uniform(shape, dtype="float32", seed=generator)


_draw: contextvars.ContextVar[Draw] = contextvars.ContextVar("draw", default=_draw_uniform)


@contextlib.contextmanager
def drawing_with(draw: Draw) -> Iterator[None]:
    """Lets a function draw the numbers of the random layers that are called inside.

    Args:
        draw: Function of a shape, whose first dimension is the batch, and of the layer's
            `SeedGenerator`; returns float32 numbers of that shape, uniform in [0, 1).
    """
    token = _draw.set(draw)
    try:
        yield
    finally:
        _draw.reset(token)


def _dropped(inputs: Any, rate: float, mask_shape: Any, generator: Any) -> Any:
    """Sets a fraction `rate` of the inputs to 0, and scales the others up by 1 / (1 - rate)."""
    # Drawn in float32: uniform bfloat16 has too few values to hit a rate exactly.
    kept = ops.cast(_draw.get()(mask_shape, generator) >= rate, inputs.dtype)
    return inputs * kept / (1.0 - rate)


@_register
class DropPath(layers.Layer):
    """Stochastic depth (arXiv 1603.09382): drops a residual branch for whole images.

    Args:
        rate: Float between 0 and 1. Fraction of images whose branch is dropped; the others are
            scaled up by 1 / (1 - rate).
        seed: Seed of the random stream, or None.

    Call arguments:
        inputs: (N, ...).
        training: Whether anything is dropped.

    Returns:
        The same shape.
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        if rate:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self.rate or not training:
            return inputs
        batch = ops.shape(inputs)[0]  # pyright: ignore[reportOptionalSubscript]
        one_per_image = (batch, *[1] * (len(inputs.shape) - 1))
        return _dropped(inputs, self.rate, one_per_image, self.seed_generator)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@_register
class Dropout(layers.Dropout):
    """Keras' dropout, for which a training loop can draw the numbers (`drawing_with`)."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self.rate or not training:
            return inputs
        return _dropped(inputs, self.rate, ops.shape(inputs), self.seed_generator)


@_register
class ChannelDropout(layers.SpatialDropout2D):
    """Dropout of whole channels of feature maps, for which a training loop can draw the numbers."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self.rate or not training:
            return inputs
        batch, _, _, channels = ops.shape(inputs)  # pyright: ignore[reportGeneralTypeIssues]
        return _dropped(inputs, self.rate, (batch, 1, 1, channels), self.seed_generator)
