"""Token mixers: the layers of a block that move information between the pixels of a feature map.

Feature maps are (N, H, W, C). Everything is written in `keras.ops`, so that the layers run
on Keras' TensorFlow, JAX and PyTorch backends alike.
"""

from typing import Any

import keras
from keras import initializers, layers, ops

from keras_poolformer.config_fields import (
    EXPANSION,
    HEAD_WIDTH,
    KERNEL_SIZE,
    attention_heads,
)
from keras_poolformer.models.activations import Shape, StarReLU
from keras_poolformer.models.layers import CHANNELS_LAST, constructor_arguments
from keras_poolformer.models.pixelwise import pixelwise

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class Pooling(layers.Layer):
    """PoolFormer's: the average of a window, minus the pixel itself.

    Windows at the border average over the pixels that exist, as PyTorch's
    `AvgPool2d(count_include_pad=False)` does. The subtraction makes room for the residual
    connection around the mixer.

    Args:
        pool_size: Size of the window in pixels, odd.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, pool_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs: Any) -> Any:
        pooled = ops.average_pool(
            inputs, self.pool_size, strides=1, padding="same", data_format=CHANNELS_LAST
        )
        return pooled - inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pool_size": self.pool_size}


@_register
class SepConv(layers.Layer):
    """ConvFormer's: the inverted separable convolution of MobileNetV2 (arXiv 1801.04381).

    A 1x1 convolution to twice the channels, StarReLU, a depthwise 7x7 convolution with zero
    padding, a 1x1 convolution back; none has a bias.

    Args:
        initializer_range: Standard deviation of the initial weights.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, initializer_range: float = 0.02, **kwargs: Any) -> None:
        arguments = constructor_arguments(locals())
        super().__init__(**kwargs)
        self._arguments = arguments
        self.initializer_range = initializer_range
        self.act1 = StarReLU(name="act1", dtype=self.dtype_policy)
        self.dwconv = layers.DepthwiseConv2D(
            KERNEL_SIZE,
            padding="same",
            data_format=CHANNELS_LAST,
            use_bias=False,
            depthwise_initializer=initializers.RandomNormal(stddev=initializer_range),
            name="dwconv",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape) -> None:
        width: Any = input_shape[-1]
        hidden_shape = (*input_shape[:-1], EXPANSION * width)
        options = (False, self.initializer_range, self.dtype_policy)
        self.pwconv1 = pixelwise(EXPANSION * width, "pwconv1", *options)
        self.pwconv2 = pixelwise(width, "pwconv2", *options)
        self.pwconv1.build(input_shape)
        for layer in (self.act1, self.dwconv, self.pwconv2):
            layer.build(hidden_shape)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return self.pwconv2(self.dwconv(self.act1(self.pwconv1(inputs))))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments


@_register
class Attention(layers.Layer):
    """CAFormer's: self-attention over all pixels, without biases or position encoding.

    Each head has 32 channels. The softmax of the scores is computed in float32 at least.

    Args:
        initializer_range: Standard deviation of the initial weights.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, initializer_range: float = 0.02, **kwargs: Any) -> None:
        arguments = constructor_arguments(locals())
        super().__init__(**kwargs)
        self._arguments = arguments
        self.initializer_range = initializer_range

    def build(self, input_shape: Shape) -> None:
        width: Any = input_shape[-1]
        self.heads = attention_heads(width)
        inner = self.heads * HEAD_WIDTH
        options = (False, self.initializer_range, self.dtype_policy)
        self.qkv = pixelwise(3 * inner, "qkv", *options)
        self.proj = pixelwise(width, "proj", *options)
        self.qkv.build(input_shape)
        self.proj.build((*input_shape[:-1], inner))
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        shape: Any = ops.shape(inputs)
        count, height, width, _ = shape
        # The channels of qkv are [queries of all heads, keys of all heads, values of all heads].
        qkv = ops.reshape(self.qkv(inputs), (count, height * width, 3, self.heads, HEAD_WIDTH))
        parts: Any = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), axis=0)
        queries, keys, values = parts
        scores: Any = ops.matmul(queries * HEAD_WIDTH**-0.5, ops.swapaxes(keys, -2, -1))
        precise = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
        attention = ops.cast(ops.softmax(precise), scores.dtype)
        mixed = ops.transpose(ops.matmul(attention, values), (0, 2, 1, 3))
        return self.proj(ops.reshape(mixed, (count, height, width, self.heads * HEAD_WIDTH)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments


@_register
class RandomMixing(layers.Layer):
    """RandFormer's: every pixel becomes a random average of all pixels, which is never trained.

    The matrix is drawn once, the softmax of uniform numbers over each row, and is a part of the
    weights; it fixes the number of pixels.

    Args:
        num_tokens: Number of pixels, H * W, in row-major order.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, C).
    """

    def __init__(self, num_tokens: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tokens = num_tokens

    def build(self, input_shape: Shape) -> None:
        self.random_matrix = self.add_weight(
            name="random_matrix",
            shape=(self.num_tokens, self.num_tokens),
            initializer=_softmax_of_uniform,
            trainable=False,
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        shape: Any = ops.shape(inputs)
        count, height, width, channels = shape
        tokens = ops.reshape(inputs, (count, self.num_tokens, channels))
        mixed = ops.einsum("mn,bnc->bmc", self.random_matrix, tokens)
        return ops.reshape(mixed, (count, height, width, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_tokens": self.num_tokens}


def _softmax_of_uniform(shape: tuple[int, ...], dtype: Any = None) -> Any:
    return ops.softmax(initializers.RandomUniform(0.0, 1.0)(shape, dtype))


def make_token_mixer(
    kind: str,
    pool_size: int = 3,
    num_tokens: int | None = None,
    initializer_range: float = 0.02,
    dtype: Any = None,
) -> keras.Layer:
    """Returns the token mixer of a block.

    Args:
        kind: Name in `keras_poolformer.config_fields.TOKEN_MIXERS`.
        pool_size: Window of "pooling" in pixels, odd.
        num_tokens: Number of pixels that "random" mixes.
        initializer_range: Standard deviation of the initial weights of the other two.
        dtype: Dtype policy.
    """
    classes: dict[str, tuple[type[layers.Layer], dict[str, Any]]] = {
        "pooling": (Pooling, {"pool_size": pool_size}),
        "identity": (layers.Identity, {}),
        "random": (RandomMixing, {"num_tokens": num_tokens}),
        "sep_conv": (SepConv, {"initializer_range": initializer_range}),
        "attention": (Attention, {"initializer_range": initializer_range}),
    }
    mixer_class, arguments = classes[kind]
    return mixer_class(**arguments, name="token_mixer", dtype=dtype)
