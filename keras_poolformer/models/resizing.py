"""Enlarges feature maps as PyTorch's `interpolate` does, whatever their size.

Keras' own `ops.image.resize` needs sizes that are known when a graph is built, and computes in
float32.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from keras_poolformer.models.activations import Shape
from keras_poolformer.models.layers import CHANNELS_LAST

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


def resize_bilinear(x: Any, height: Any, width: Any) -> Any:
    """Resizes feature maps bilinearly, with the centers of pixels aligned (not the corners).

    Args:
        x: (N, h, w, C).
        height: Height of the result, an int, or a scalar tensor where the graph has any size.
        width: Width of the result, likewise.

    Returns:
        (N, height, width, C), of the same dtype.
    """
    old_height, old_width = sides_of(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    sides = (height, width, old_height, old_width)
    if dtype != "float64" and all(isinstance(side, int) for side in sides):
        return ops.image.resize(x, (height, width), "bilinear", data_format=CHANNELS_LAST)
    x = ops.einsum("ij,njwc->niwc", _bilinear_matrix(old_height, height, dtype), x)
    return ops.einsum("ij,nhjc->nhic", _bilinear_matrix(old_width, width, dtype), x)


def sides_of(x: Any) -> tuple[Any, Any]:
    """Returns height and width of feature maps or masks, ints where a graph knows them.

    Args:
        x: (N, H, W, ...).
    """
    shape: Any = ops.shape(x)
    return shape[1], shape[2]


def _bilinear_matrix(old: Any, new: Any, dtype: str) -> Any:
    """The matrix (new, old) of a bilinear resize along one axis."""
    precise = "float64" if dtype == "float64" else "float32"
    scale = ops.cast(old, precise) / ops.cast(new, precise)
    centers = (ops.cast(ops.arange(new), precise) + 0.5) * scale - 0.5
    places: Any = ops.clip(centers, 0, ops.cast(old - 1, precise))
    distances = ops.abs(places[:, None] - ops.cast(ops.arange(old), precise))
    return ops.cast(ops.relu(1 - distances), dtype)


@_register
class BilinearDoubling(layers.Layer):
    """Doubles the height and width of feature maps, bilinearly.

    Call arguments:
        inputs: (N, h, w, C).

    Returns:
        (N, 2h, 2w, C).
    """

    def call(self, inputs: Any) -> Any:
        height, width = sides_of(inputs)
        return resize_bilinear(inputs, 2 * height, 2 * width)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        count, height, width, channels = input_shape
        return (count, height and 2 * height, width and 2 * width, channels)


@_register
class UpsampleLike(layers.Layer):
    """Enlarges a feature map to the height and width of another one.

    Args:
        interpolation: "nearest" doubles the map, and crops the last row and column where the other
            map's side is odd; "bilinear" takes any size.

    Call arguments:
        inputs: [(N, h, w, C), (N, H, W, ...)].

    Returns:
        (N, H, W, C).
    """

    def __init__(self, interpolation: str = "nearest", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.interpolation = interpolation

    def call(self, inputs: Sequence[Any]) -> Any:
        x, like = inputs
        height, width = sides_of(like)
        if self.interpolation == "nearest":
            doubled: Any = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
            return doubled[:, :height, :width]
        if None not in x.shape[1:3] and x.shape[1:3] == like.shape[1:3]:
            return x
        return resize_bilinear(x, height, width)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        (count, _, _, channels), (_, height, width, _) = input_shape
        return (count, height, width, channels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"interpolation": self.interpolation}
