"""The layers that blocks are built of (arXiv 2111.11418, section 3; arXiv 2210.13452, section 3).

Feature maps are (N, H, W, C). Everything is written in `keras.ops`, so that the layers run
on Keras' TensorFlow, JAX and PyTorch backends alike.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import initializers, layers

from keras_poolformer.checkpoints.quantization import MODE
from keras_poolformer.config_fields import output_side
from keras_poolformer.models.activations import (
    ACTIVATION_FUNCTIONS,
    Shape,
    StarReLU,
    compiled,
)
from keras_poolformer.models.pixelwise import pixelwise
from keras_poolformer.models.random_layers import Dropout

CHANNELS_LAST = "channels_last"  # whatever Keras' global setting is
NORM_EPSILON = 1e-5  # PyTorch's default, and the authors'; Keras' own is 1e-3

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


def constructor_arguments(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a layer's own arguments, for `get_config`.

    Args:
        scope: `locals()` at the start of its constructor.
    """
    return {name: scope[name] for name in scope if name not in ("self", "kwargs", "__class__")}


def make_norm(
    kind: str,
    name: str,
    dtype: Any = None,
    epsilon: float = NORM_EPSILON,
    use_bias: bool = True,
) -> keras.Layer:
    """Returns the layer that normalizes a feature map (N, H, W, C).

    Args:
        kind: "group_norm", with statistics over H, W and C of each image, or "layer_norm", over
            C of each pixel (the authors' LayerNormChannel).
        name: Name of the layer.
        dtype: Dtype policy.
        epsilon: Number added to the variance.
        use_bias: Whether it adds a bias per channel after its scale.
    """
    options = {"epsilon": epsilon, "center": use_bias, "name": name, "dtype": dtype}
    if kind == "layer_norm":
        return layers.LayerNormalization(**options)
    return layers.GroupNormalization(groups=1, **options)


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
    """Opens a stage: a strided convolution with explicit symmetric zero padding.

    `padding="same"` would pad (1, 2) where PyTorch pads (2, 2), and give other numbers.
    In the first paper there is no norm, and weights start as PyTorch's convolutions do: uniform
    in +-1 / sqrt(fan in), bias too. In the second there is one, and they start as all others do.

    Args:
        width: Number of output channels.
        patch_size: Kernel size in pixels.
        stride: Stride in pixels.
        padding: Number of zero pixels on every side.
        norm: "before" or "after" for a layer norm over C there, or None.
        norm_epsilon: Epsilon of that norm.
        use_bias: Whether that norm has a bias.
        initializer_range: Standard deviation of the initial weights where there is a norm.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H', W', width) with H' = (H + 2 * padding - patch_size) // stride + 1.
    """

    def __init__(
        self,
        width: int,
        patch_size: int,
        stride: int,
        padding: int,
        norm: str | None = None,
        norm_epsilon: float = NORM_EPSILON,
        use_bias: bool = True,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        arguments = constructor_arguments(locals())
        super().__init__(**kwargs)
        self._arguments = arguments
        self.width = width
        self.patch_size = patch_size
        self.stride = stride
        self.padding = padding
        self.norm_position = norm
        self.initializer_range = initializer_range
        dtype = self.dtype_policy
        self.pad = layers.ZeroPadding2D(padding, data_format=CHANNELS_LAST, name="pad", dtype=dtype)
        self.norm = None
        if norm:
            self.norm = make_norm("layer_norm", "norm", dtype, norm_epsilon, use_bias)

    def build(self, input_shape: Shape) -> None:
        kernel, bias = self._initializers(input_shape[-1])
        self.projection = layers.Conv2D(
            self.width,
            self.patch_size,
            self.stride,
            padding="valid",
            data_format=CHANNELS_LAST,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name="projection",
            dtype=self.dtype_policy,
        )
        if self.norm is not None:
            before = self.norm_position == "before"
            self.norm.build(input_shape if before else self.compute_output_shape(input_shape))
        self.pad.build(input_shape)
        self.projection.build(self.pad.compute_output_shape(input_shape))
        super().build(input_shape)

    def _initializers(self, channels: Any) -> tuple[Any, Any]:
        """Initializers of kernel and bias."""
        if self.norm is not None:
            return initializers.RandomNormal(stddev=self.initializer_range), "zeros"
        bound = 1 / math.sqrt(self.patch_size**2 * channels)
        uniform = initializers.RandomUniform
        return uniform(-bound, bound), uniform(-bound, bound)

    def call(self, inputs: Any) -> Any:
        if self.norm is None:
            return self.projection(self.pad(inputs))
        if self.norm_position == "before":
            return self.projection(self.pad(self.norm(inputs)))
        return self.norm(self.projection(self.pad(inputs)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        count, height, width, _ = input_shape
        return (count, self._side(height), self._side(width), self.width)

    def _side(self, length: int | None) -> int | None:
        if length is None:
            return None
        return output_side(length, self.patch_size, self.stride, self.padding)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments


@_register
class Mlp(layers.Layer):
    """Two 1x1 convolutions with an activation between; works on each pixel by itself.

    Args:
        width: Number of input and output channels.
        hidden_width: Number of channels in between.
        activation: Name in `keras_poolformer.config_fields.ACTIVATIONS`.
        dropout_rate: Float between 0 and 1. Fraction of units that are dropped after the
            activation and after the second convolution.
        initializer_range: Standard deviation of the initial weights; biases start at 0.
        use_bias: Whether the convolutions have biases.

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
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        arguments = constructor_arguments(locals())
        super().__init__(**kwargs)
        self._arguments = arguments
        dtype = self.dtype_policy
        self.width = width
        self.hidden_width = hidden_width
        self.fc1 = pixelwise(hidden_width, "fc1", use_bias, initializer_range, dtype)
        self.fc2 = pixelwise(width, "fc2", use_bias, initializer_range, dtype)
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=dtype)
        self.act = (
            StarReLU(name="act", dtype=dtype)
            if activation == "star_relu"
            else ACTIVATION_FUNCTIONS[activation]
        )

    def build(self, input_shape: Shape) -> None:
        hidden_shape = (*input_shape[:-1], self.hidden_width)
        self.fc1.build(input_shape)
        if isinstance(self.act, StarReLU):
            self.act.build(hidden_shape)
        self.fc2.build(hidden_shape)
        self.dropout.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        act = self.act if isinstance(self.act, StarReLU) else compiled(self.act)
        hidden = self.dropout(act(self.fc1(inputs)), training=training)
        return self.dropout(self.fc2(hidden), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments


@_register
class LayerScale(layers.Layer):
    """Multiplies each channel by a learned factor: a branch (arXiv 2103.17239) or a shortcut.

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
