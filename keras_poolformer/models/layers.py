"""The layers that blocks are built of (arXiv 2111.11418, section 3; sail-sg models/poolformer.py).

Feature maps are (N, H, W, C). Everything is written in `keras.ops`, so that the layers run
on Keras' TensorFlow, JAX and PyTorch backends alike.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import activations, initializers, layers, ops

from keras_poolformer.checkpoints.quantization import MODE
from keras_poolformer.models.random_layers import Dropout

Shape = tuple[int | None, ...]

CHANNELS_LAST = "channels_last"  # whatever Keras' global setting is
NORM_EPSILON = 1e-5  # PyTorch's default, and the authors'; Keras' own is 1e-3

ACTIVATION_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": activations.gelu,
    "gelu_10": lambda x: ops.clip(activations.gelu(x), -10.0, 10.0),
    "gelu_tanh": functools.partial(activations.gelu, approximate=True),
    "hard_swish": activations.hard_swish,
    "leaky_relu": functools.partial(ops.leaky_relu, negative_slope=0.01),
    "linear": activations.linear,
    "mish": activations.mish,
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),
    "relu": activations.relu,
    "relu2": lambda x: ops.square(ops.relu(x)),
    "relu6": activations.relu6,
    "sigmoid": activations.sigmoid,
    "silu": activations.silu,
    "tanh": activations.tanh,
}

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


def make_norm(kind: str, name: str, dtype: Any = None) -> keras.Layer:
    """Returns the layer that normalizes a feature map (N, H, W, C).

    Args:
        kind: "group_norm", with statistics over H, W and C of each image, or "layer_norm", over
            C of each pixel (the authors' LayerNormChannel).
        name: Name of the layer.
        dtype: Dtype policy.
    """
    if kind == "layer_norm":
        return layers.LayerNormalization(epsilon=NORM_EPSILON, name=name, dtype=dtype)
    return layers.GroupNormalization(groups=1, epsilon=NORM_EPSILON, name=name, dtype=dtype)


@_register
class Dense(layers.Dense):
    """The last layer, which Keras can quantize only in the one way that a model saves and loads.

    The name of the class is part of the paths in .keras files.
    """

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Quantizes to Keras' int8. For other modes Keras would only warn, and do nothing."""
        if mode != MODE or (config and config.get_config() != type(config)().get_config()):
            raise NotImplementedError(
                f"{self.name} stays in floating point: only the mode {MODE!r} with Keras' default "
                f"quantizers can be saved and loaded"
            )
        super().quantize(mode, type_check=False, config=config)


@_register
class PatchEmbedding(layers.Layer):
    """Opens a stage: a strided convolution with explicit symmetric zero padding, no norm.

    `padding="same"` would pad (1, 2) where PyTorch pads (2, 2), and give other numbers.
    Weights start as PyTorch's convolutions do: uniform in +-1 / sqrt(fan in), bias too.

    Args:
        width: Number of output channels.
        patch_size: Kernel size in pixels.
        stride: Stride in pixels.
        padding: Number of zero pixels on every side.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H', W', width) with H' = (H + 2 * padding - patch_size) // stride + 1.
    """

    def __init__(
        self, width: int, patch_size: int, stride: int, padding: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.patch_size = patch_size
        self.stride = stride
        self.padding = padding
        self.pad = layers.ZeroPadding2D(
            padding, data_format=CHANNELS_LAST, name="pad", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        bound = 1 / math.sqrt(self.patch_size**2 * input_shape[-1])
        self.projection = layers.Conv2D(
            self.width,
            self.patch_size,
            self.stride,
            padding="valid",
            data_format=CHANNELS_LAST,
            kernel_initializer=initializers.RandomUniform(-bound, bound),
            bias_initializer=initializers.RandomUniform(-bound, bound),
            name="projection",
            dtype=self.dtype_policy,
        )
        self.pad.build(input_shape)
        self.projection.build(self.pad.compute_output_shape(input_shape))
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return self.projection(self.pad(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        count, height, width, _ = input_shape
        return (count, self._side(height), self._side(width), self.width)

    def _side(self, length: int | None) -> int | None:
        if length is None:
            return None
        return (length + 2 * self.padding - self.patch_size) // self.stride + 1

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "width": self.width,
            "patch_size": self.patch_size,
            "stride": self.stride,
            "padding": self.padding,
        }


@_register
class Mlp(layers.Layer):
    """Two 1x1 convolutions with an activation between; works on each pixel by itself.

    Args:
        width: Number of input and output channels.
        hidden_width: Number of channels in between.
        activation: Name in `keras_poolformer.config.ACTIVATIONS`.
        dropout_rate: Float between 0 and 1. Fraction of units that are dropped after the
            activation and after the second convolution.
        initializer_range: Standard deviation of the initial weights; biases start at 0.

    Call arguments:
        inputs: (N, H, W, width).
        training: Whether dropout is active.

    Returns:
        (N, H, W, width).
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        activation: str = "gelu",
        dropout_rate: float = 0.0,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.hidden_width = hidden_width
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.initializer_range = initializer_range
        self.fc1 = self._pixelwise(hidden_width, "fc1")
        self.fc2 = self._pixelwise(width, "fc2")
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def _pixelwise(self, width: int, name: str) -> keras.Layer:
        # The original truncates at +-2 absolute, a hundred deviations: not at all.
        normal = initializers.RandomNormal(stddev=self.initializer_range)
        return layers.Conv2D(
            width,
            1,
            data_format=CHANNELS_LAST,
            kernel_initializer=normal,
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape) -> None:
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_width))
        self.dropout.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = ACTIVATION_FUNCTIONS[self.activation](self.fc1(inputs))
        hidden = self.dropout(hidden, training=training)
        return self.dropout(self.fc2(hidden), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "width": self.width,
            "hidden_width": self.hidden_width,
            "activation": self.activation,
            "dropout_rate": self.dropout_rate,
            "initializer_range": self.initializer_range,
        }


@_register
class LayerScale(layers.Layer):
    """Multiplies each channel by a learned factor (arXiv 2103.17239).

    Args:
        initial: Initial value of the factors.

    Call arguments:
        inputs: (..., C).

    Returns:
        The same shape.
    """

    def __init__(self, initial: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: Shape) -> None:
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=initializers.Constant(self.initial),
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs * self.gamma

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initial": self.initial}
