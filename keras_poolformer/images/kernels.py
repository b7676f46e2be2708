"""Pillow's resampling filters as TensorFlow operations; `graph` says why they are our own."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from keras_poolformer.support.errors import MissingExtraError


def _tensorflow() -> Any:
    """Returns TensorFlow, whose functions have no usable types."""
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        raise MissingExtraError("tensorflow", "tensorflow") from error
    return tensorflow


tf: Any = _tensorflow()
Tensor = Any  # tf.Tensor
Function = TypeVar("Function", bound=Callable[..., Any])


def not_converted(function: Function) -> Function:
    """Keeps AutoGraph from converting a function whose Python does not depend on values."""
    return tf.autograph.experimental.do_not_convert(function)


def _bicubic(x: Tensor) -> Tensor:
    x = tf.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0  # Keys' kernel, a = -0.5
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return tf.where(x < 1.0, near, tf.where(x < 2.0, far, 0.0))


def _bilinear(x: Tensor) -> Tensor:
    return tf.maximum(1.0 - tf.abs(x), 0.0)


def _box(x: Tensor) -> Tensor:
    return tf.where((x > -0.5) & (x <= 0.5), tf.ones_like(x), 0.0)


def _sinc(x: Tensor) -> Tensor:
    angle = tf.where(tf.equal(x, 0.0), tf.ones_like(x), x * math.pi)
    return tf.where(tf.equal(x, 0.0), tf.ones_like(x), tf.sin(angle) / angle)


def _hamming(x: Tensor) -> Tensor:
    value = _sinc(x) * (0.54 + 0.46 * tf.cos(x * math.pi))
    return tf.where(tf.abs(x) < 1.0, value, 0.0)


def _lanczos(x: Tensor) -> Tensor:
    return tf.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3.0), 0.0)


# {name: (filter, radius in scaled pixels)}, as Pillow has them.
KERNELS: dict[str, tuple[Callable[[Tensor], Tensor] | None, float]] = {
    "bicubic": (_bicubic, 2.0),
    "bilinear": (_bilinear, 1.0),
    "box": (_box, 0.5),
    "hamming": (_hamming, 1.0),
    "lanczos": (_lanczos, 3.0),
    "nearest": (None, 1.0),
}
