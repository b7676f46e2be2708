"""The block of a MetaFormer: a token mixer and an MLP, each in a residual branch.

Everything is written in `keras.ops`, so that blocks run on Keras' TensorFlow, JAX and PyTorch
backends alike.
"""

from typing import Any

import keras
from keras import layers

from keras_poolformer.models.activations import Shape
from keras_poolformer.models.layers import (
    NORM_EPSILON,
    LayerScale,
    Mlp,
    constructor_arguments,
    make_norm,
)
from keras_poolformer.models.random_layers import DropPath
from keras_poolformer.models.token_mixers import make_token_mixer

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class PoolFormerBlock(layers.Layer):
    """res1 * x + scale1 * mixer(norm1(x)), then the same with the MLP (arXiv 2210.13452, figure 2).

    Shortcuts or branches are scaled only if asked for. The name of the class is part of the paths
    in .keras files, whatever the token mixer.

    Args:
        width: Number of channels.
        hidden_width: Number of channels inside the MLP.
        pool_size: Size of the pooling token mixer's window in pixels, odd.
        activation: Activation of the MLP.
        use_layer_scale: Whether the branches are scaled per channel.
        layer_scale_init: Initial value of those scales.
        drop_path_rate: Float between 0 and 1. Probability that an image skips a branch.
        dropout_rate: Float between 0 and 1. Dropout in the MLP.
        initializer_range: Standard deviation of the initial weights.
        norm: "group_norm" or "layer_norm".
        token_mixer: Name in `keras_poolformer.config_fields.TOKEN_MIXERS`.
        num_tokens: Number of pixels that the token mixer "random" mixes.
        norm_epsilon: Epsilon of the norms.
        use_bias: Whether norms and MLP have biases.
        res_scale_init: Initial value of the scale per channel of the shortcuts, or None.

    Call arguments:
        inputs: (N, H, W, width).
        training: Whether dropout and stochastic depth are active.

    Returns:
        (N, H, W, width).
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        pool_size: int = 3,
        activation: str = "gelu",
        use_layer_scale: bool = True,
        layer_scale_init: float = 1e-5,
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.0,
        initializer_range: float = 0.02,
        norm: str = "group_norm",
        token_mixer: str = "pooling",
        num_tokens: int | None = None,
        norm_epsilon: float = NORM_EPSILON,
        use_bias: bool = True,
        res_scale_init: float | None = None,
        **kwargs: Any,
    ) -> None:
        arguments = constructor_arguments(locals())
        super().__init__(**kwargs)
        self._arguments = arguments
        dtype = self.dtype_policy
        self.norm1 = make_norm(norm, "norm1", dtype, norm_epsilon, use_bias)
        self.token_mixer = make_token_mixer(
            token_mixer, pool_size, num_tokens, initializer_range, dtype
        )
        self.norm2 = make_norm(norm, "norm2", dtype, norm_epsilon, use_bias)
        self.mlp = Mlp(
            width, hidden_width, activation, dropout_rate, initializer_range, use_bias,
            name="mlp", dtype=dtype,
        )  # fmt: skip
        self.layer_scale1 = self.layer_scale2 = None
        if use_layer_scale:
            self.layer_scale1 = LayerScale(layer_scale_init, name="layer_scale1", dtype=dtype)
            self.layer_scale2 = LayerScale(layer_scale_init, name="layer_scale2", dtype=dtype)
        self.res_scale1 = self.res_scale2 = None
        if res_scale_init is not None:
            self.res_scale1 = LayerScale(res_scale_init, name="res_scale1", dtype=dtype)
            self.res_scale2 = LayerScale(res_scale_init, name="res_scale2", dtype=dtype)
        self.drop_path1 = DropPath(drop_path_rate, name="drop_path1", dtype=dtype)
        self.drop_path2 = DropPath(drop_path_rate, name="drop_path2", dtype=dtype)

    def build(self, input_shape: Shape) -> None:
        branch1 = (self.norm1, self.token_mixer, self.layer_scale1, self.drop_path1)
        branch2 = (self.norm2, self.mlp, self.layer_scale2, self.drop_path2)
        for layer in (*branch1, *branch2, self.res_scale1, self.res_scale2):
            if layer is not None:
                layer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        mixed = self.token_mixer(self.norm1(inputs))
        if self.layer_scale1 is not None:
            mixed = self.layer_scale1(mixed)
        shortcut = inputs if self.res_scale1 is None else self.res_scale1(inputs)
        outputs = shortcut + self.drop_path1(mixed, training=training)
        expanded = self.mlp(self.norm2(outputs), training=training)
        if self.layer_scale2 is not None:
            expanded = self.layer_scale2(expanded)
        shortcut = outputs if self.res_scale2 is None else self.res_scale2(outputs)
        return shortcut + self.drop_path2(expanded, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments
