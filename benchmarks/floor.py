"""The floor: the network's convolutions and GELU, which no export can do without.

Same kernels, same shapes, same converter, same flags; no pooling, no norms, no sums. A mean
over H and W, which feeds the classifier, keeps the file a complete one, so that sizes can be
compared too. It classifies nothing.
"""

from collections import Counter

import tensorflow as tf

from keras_poolformer.export.networks.operations import activate
from keras_poolformer.export.recipes import get_recipe
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.support.errors import InputError


def floor_function(network):
    """The function of the floor.

    Args:
        network: `FoldedNetwork` with a classifier.

    Returns:
        A function from float32 images (N, H, W, in_channels) to (N, num_classes).
    """

    def convolve(x, kernel, bias, stride=1):
        kernel, bias = (tf.constant(array, tf.float32) for array in (kernel, bias))
        return tf.nn.conv2d(x, kernel, stride, "VALID") + bias

    def run(images):
        x = images
        for stage in network.stages:
            if stage.padding:
                margin = (stage.padding, stage.padding)
                x = tf.pad(x, ((0, 0), margin, margin, (0, 0)))
            x = convolve(x, stage.kernel, stage.bias, stage.stride)
            for block in stage.blocks:
                x = convolve(x, block.mlp.fc1_kernel, block.mlp.fc1_bias)
                x = activate(block.mlp.activation, x)
                x = convolve(x, block.mlp.fc2_kernel, block.mlp.fc2_bias)
        x = tf.reduce_mean(x, (1, 2))
        return tf.matmul(x, tf.constant(network.head.kernel, tf.float32)) + network.head.bias

    return run


def expected_operators(network, recipe):
    """{operator: count} that the floor's file has, and no other."""
    blocks = sum(len(stage.blocks) for stage in network.stages)
    expected = Counter(
        CONV_2D=len(network.stages) + 2 * blocks,
        GELU=blocks,
        PAD=sum(stage.padding > 0 for stage in network.stages),
        MEAN=1,
        FULLY_CONNECTED=1,
    )
    if get_recipe(recipe).is_integer:
        expected["QUANTIZE"] = 1  # from the file's uint8 to the kernels' int8
    return expected


def require_floor(path, network, recipe):
    """Raises InputError unless a floor's file holds exactly the expected operators."""
    received = Counter(TFLiteClassifier(path).operators())
    expected = expected_operators(network, recipe)
    if received != expected:
        raise InputError(
            f"{path.name} must hold {dict(expected)} and nothing else. Received: {dict(received)}"
        )
