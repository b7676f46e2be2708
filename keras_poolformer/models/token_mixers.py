"""Token mixers: the layers of a block that move information between the pixels of a feature map.

Feature maps are (N, H, W, C). Everything is written in `keras.ops`, so that the layers run
on Keras' TensorFlow, JAX and PyTorch backends alike.
"""

from typing import Any

import keras
from keras import layers, ops

from keras_poolformer.models.layers import CHANNELS_LAST, Shape

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
