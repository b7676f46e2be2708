"""The layers of PoolFormer (arXiv 2111.11418, sections 3 and A; sail-sg models/poolformer.py).

Feature maps are (N, H, W, C). Everything is written in `keras.ops`, so that the layers run
on Keras' TensorFlow, JAX and PyTorch backends alike.
"""

import functools
import math

import keras
from keras import activations, initializers, layers, ops

from keras_poolformer.checkpoints.quantization import MODE
from keras_poolformer.models.random_layers import Dropout, DropPath

CHANNELS_LAST = "channels_last"  # whatever Keras' global setting is
NORM_EPSILON = 1e-5  # PyTorch's default, and the authors'; Keras' own is 1e-3

ACTIVATION_FUNCTIONS = {
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


def make_norm(kind, name, dtype=None):
    """Returns the norm of a feature map (N, H, W, C), a layer.

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
    """The last layer, which Keras can quantize only in the way that its model saves and loads.

    The name of the class is part of the paths in .keras files.
    """

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantizes to Keras' int8; of other modes Keras makes a warning, and nothing else."""
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
        width: output channels.
        patch_size: kernel size in pixels.
        stride: stride in pixels.
        padding: zero pixels on every side.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H', W', width) with H' = (H + 2 * padding - patch_size) // stride + 1.
    """

    def __init__(self, width, patch_size, stride, padding, **kwargs):
        super().__init__(**kwargs)
        self.width, self.patch_size = width, patch_size
        self.stride, self.padding = stride, padding
        self.pad = layers.ZeroPadding2D(
            padding, data_format=CHANNELS_LAST, name="pad", dtype=self.dtype_policy
        )

    def build(self, input_shape):
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

    def call(self, inputs):
        return self.projection(self.pad(inputs))

    def compute_output_shape(self, input_shape):
        def side(length):
            if length is None:
                return None
            return (length + 2 * self.padding - self.patch_size) // self.stride + 1

        return (input_shape[0], side(input_shape[1]), side(input_shape[2]), self.width)

    def get_config(self):
        return super().get_config() | {
            "width": self.width,
            "patch_size": self.patch_size,
            "stride": self.stride,
            "padding": self.padding,
        }


@_register
class Pooling(layers.Layer):
    """The token mixer: average of the window, minus the pixel itself.

    Windows at the border average over the pixels that exist, as PyTorch's
    `AvgPool2d(count_include_pad=False)` does. The subtraction makes room for the residual
    connection around the mixer.

    Args:
        pool_size: odd window size in pixels.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, pool_size=3, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        pooled = ops.average_pool(
            inputs, self.pool_size, strides=1, padding="same", data_format=CHANNELS_LAST
        )
        return pooled - inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


@_register
class Mlp(layers.Layer):
    """Two 1x1 convolutions with an activation between; works on each pixel by itself.

    Args:
        width: input and output channels.
        hidden_width: channels in between.
        activation: a name of `keras_poolformer.config.ACTIVATIONS`.
        dropout_rate: after the activation and after the second convolution.
        initializer_range: standard deviation of the initial weights; biases start at 0.

    Call arguments:
        inputs: (N, H, W, width).
        training: whether dropout is active.

    Returns:
        (N, H, W, width).
    """

    def __init__(
        self,
        width,
        hidden_width,
        activation="gelu",
        dropout_rate=0.0,
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width, self.hidden_width = width, hidden_width
        self.activation, self.dropout_rate = activation, dropout_rate
        self.initializer_range = initializer_range
        self.fc1 = self._pixelwise(hidden_width, "fc1")
        self.fc2 = self._pixelwise(width, "fc2")
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def _pixelwise(self, width, name):
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

    def build(self, input_shape):
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_width))
        self.dropout.build(input_shape)
        super().build(input_shape)

    def call(self, inputs, training=False):
        hidden = ACTIVATION_FUNCTIONS[self.activation](self.fc1(inputs))
        hidden = self.dropout(hidden, training=training)
        return self.dropout(self.fc2(hidden), training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def get_config(self):
        return super().get_config() | {
            "width": self.width,
            "hidden_width": self.hidden_width,
            "activation": self.activation,
            "dropout_rate": self.dropout_rate,
            "initializer_range": self.initializer_range,
        }


@_register
class LayerScale(layers.Layer):
    """Multiplies each channel by a learnt factor (arXiv 2103.17239).

    Args:
        initial: the factors' initial value.

    Call arguments:
        inputs: (..., C).

    Returns:
        The same shape.
    """

    def __init__(self, initial=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=initializers.Constant(self.initial),
        )
        super().build(input_shape)

    def call(self, inputs):
        return inputs * self.gamma

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"initial": self.initial}


@_register
class PoolFormerBlock(layers.Layer):
    """x + scale1 * pooling(norm1(x)), then x + scale2 * mlp(norm2(x)) (paper, figure 2).

    Args:
        width: channels.
        hidden_width: channels inside the MLP.
        pool_size: odd window of the token mixer.
        activation: of the MLP.
        use_layer_scale: whether the branches are scaled per channel.
        layer_scale_init: initial value of those scales.
        drop_path_rate: probability that an image skips a branch.
        dropout_rate: in the MLP.
        initializer_range: standard deviation of the MLP's initial weights.
        norm: "group_norm" or "layer_norm".

    Call arguments:
        inputs: (N, H, W, width).
        training: whether dropout and stochastic depth are active.

    Returns:
        (N, H, W, width).
    """

    def __init__(
        self,
        width,
        hidden_width,
        pool_size=3,
        activation="gelu",
        use_layer_scale=True,
        layer_scale_init=1e-5,
        drop_path_rate=0.0,
        dropout_rate=0.0,
        initializer_range=0.02,
        norm="group_norm",
        **kwargs,
    ):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self._arguments = {
            "width": width,
            "hidden_width": hidden_width,
            "pool_size": pool_size,
            "activation": activation,
            "use_layer_scale": use_layer_scale,
            "layer_scale_init": layer_scale_init,
            "drop_path_rate": drop_path_rate,
            "dropout_rate": dropout_rate,
            "initializer_range": initializer_range,
            "norm": norm,
        }
        self.norm1 = make_norm(norm, "norm1", dtype)
        self.token_mixer = Pooling(pool_size, name="token_mixer", dtype=dtype)
        self.norm2 = make_norm(norm, "norm2", dtype)
        self.mlp = Mlp(
            width, hidden_width, activation, dropout_rate, initializer_range,
            name="mlp", dtype=dtype,
        )  # fmt: skip
        self.layer_scale1 = self.layer_scale2 = None
        if use_layer_scale:
            self.layer_scale1 = LayerScale(layer_scale_init, name="layer_scale1", dtype=dtype)
            self.layer_scale2 = LayerScale(layer_scale_init, name="layer_scale2", dtype=dtype)
        self.drop_path1 = DropPath(drop_path_rate, name="drop_path1", dtype=dtype)
        self.drop_path2 = DropPath(drop_path_rate, name="drop_path2", dtype=dtype)

    def build(self, input_shape):
        sublayers = (
            *(self.norm1, self.token_mixer, self.layer_scale1, self.drop_path1),
            *(self.norm2, self.mlp, self.layer_scale2, self.drop_path2),
        )
        for layer in sublayers:
            if layer is not None:
                layer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs, training=False):
        mixed = self.token_mixer(self.norm1(inputs))
        if self.layer_scale1 is not None:
            mixed = self.layer_scale1(mixed)
        outputs = inputs + self.drop_path1(mixed, training=training)
        expanded = self.mlp(self.norm2(outputs), training=training)
        if self.layer_scale2 is not None:
            expanded = self.layer_scale2(expanded)
        return outputs + self.drop_path2(expanded, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | self._arguments
