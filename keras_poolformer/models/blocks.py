"""The block of a PoolFormer: a token mixer and an MLP, each in a residual branch.

Everything is written in `keras.ops`, so that blocks run on Keras' TensorFlow, JAX and PyTorch
backends alike.
"""

from typing import Any

import keras
from keras import layers

from keras_poolformer.models.layers import LayerScale, Mlp, Shape, make_norm
from keras_poolformer.models.random_layers import DropPath
from keras_poolformer.models.token_mixers import Pooling

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class PoolFormerBlock(layers.Layer):
    """x + scale1 * pooling(norm1(x)), then x + scale2 * mlp(norm2(x)) (paper, figure 2).

    Args:
        width: Number of channels.
        hidden_width: Number of channels inside the MLP.
        pool_size: Size of the token mixer's window in pixels, odd.
        activation: Activation of the MLP.
        use_layer_scale: Whether the branches are scaled per channel.
        layer_scale_init: Initial value of those scales.
        drop_path_rate: Float between 0 and 1. Probability that an image skips a branch.
        dropout_rate: Float between 0 and 1. Dropout in the MLP.
        initializer_range: Standard deviation of the MLP's initial weights.
        norm: "group_norm" or "layer_norm".

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
        **kwargs: Any,
    ) -> None:
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

    def build(self, input_shape: Shape) -> None:
        branch1 = (self.norm1, self.token_mixer, self.layer_scale1, self.drop_path1)
        branch2 = (self.norm2, self.mlp, self.layer_scale2, self.drop_path2)
        for layer in (*branch1, *branch2):
            if layer is not None:
                layer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        mixed = self.token_mixer(self.norm1(inputs))
        if self.layer_scale1 is not None:
            mixed = self.layer_scale1(mixed)
        outputs = inputs + self.drop_path1(mixed, training=training)
        expanded = self.mlp(self.norm2(outputs), training=training)
        if self.layer_scale2 is not None:
            expanded = self.layer_scale2(expanded)
        return outputs + self.drop_path2(expanded, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._arguments
