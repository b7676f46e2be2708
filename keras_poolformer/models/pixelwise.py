"""The linear layer that works on each pixel by itself: a 1x1 convolution.

Everything is written in `keras.ops`, so that it runs on Keras' TensorFlow, JAX and PyTorch
backends alike.
"""

from typing import Any

import keras
from keras import initializers, layers, ops

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class Pixelwise(layers.Conv2D):
    """A 1x1 convolution, computed as a product of matrices: (N * H * W, C) by (C, filters).

    The numbers are a convolution's. oneDNN, TensorFlow's library on CPUs, takes longer for the
    gradient of a convolution's weights than for the product of the same matrices.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        (N, H, W, filters).
    """

    def call(self, inputs: Any) -> Any:
        shape: Any = ops.shape(inputs)
        matrix = ops.reshape(self.kernel, (shape[-1], self.filters))
        outputs: Any = ops.matmul(ops.reshape(inputs, (-1, shape[-1])), matrix)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return ops.reshape(outputs, (*shape[:-1], self.filters))


def pixelwise(
    width: int, name: str, use_bias: bool = True, initializer_range: float = 0.02, dtype: Any = None
) -> keras.Layer:
    """Returns a linear layer that works on each pixel by itself: a 1x1 convolution.

    Args:
        width: Number of output channels.
        name: Name of the layer.
        use_bias: Whether it has a bias, which starts at 0.
        initializer_range: Standard deviation of the initial weights.
        dtype: Dtype policy.
    """
    # The original truncates at +-2 absolute, a hundred deviations: not at all.
    return Pixelwise(
        width,
        1,
        data_format="channels_last",
        use_bias=use_bias,
        kernel_initializer=initializers.RandomNormal(stddev=initializer_range),
        name=name,
        dtype=dtype,
    )
