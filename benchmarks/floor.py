"""The floor: the network's convolutions and activations, which no export can do without.

Same shapes, same converter, same flags; no token mixers, no norms, no sums. What its head does
keeps the file a complete one, so that sizes can be compared too: a classifier's is a mean over H
and W and a matrix product, a segmenter's is in segmenter_floor.py. It classifies nothing.

Where convolution or attention mixes, the mixer is most of what the network computes, and there is
no floor.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from benchmarks.segmenter_floor import run_segmenter_head, segmenter_head_operators
from keras_poolformer.export.networks.operations import activate
from keras_poolformer.export.networks.semantic_fpn import FoldedSemanticFpn
from keras_poolformer.export.recipes import get_recipe
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError

# {activation of the folded network: its operator}. StarReLU has become a squared ReLU: a
# convolution does the ReLU, a product the square.
OPERATORS = {"gelu": "GELU", "relu2": "MUL"}


@dataclass(frozen=True)
class Layer:
    """A convolution of the floor.

    Args:
        kernel: Kernel as Keras has it, (side, side, in, out).
        bias: Bias, (out,).
        stride: Stride.
        padding: Pixels of zero padding on each side.
        activation: Name of the activation behind it, or None for none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    stride: int = 1
    padding: int = 0
    activation: str | None = None

    def __call__(self, x):
        """Returns the layer's output, before its activation."""
        if self.padding:
            margin = (self.padding, self.padding)
            x = tf.pad(x, ((0, 0), margin, margin, (0, 0)))
        kernel, bias = (tf.constant(array, tf.float32) for array in (self.kernel, self.bias))
        return tf.nn.conv2d(x, kernel, self.stride, "VALID") + bias

    def activated(self, x):
        """Returns the layer's output, behind its activation."""
        return self(x) if self.activation is None else activate(self.activation, self(x))

    def scaled(self, factor):
        """Returns the layer with an output `factor` times as large, before its activation."""
        return replace(self, kernel=self.kernel * factor, bias=self.bias * factor)


def floor_function(network, images):
    """The function of the floor.

    Args:
        network: `FoldedNetwork` with a classifier, or of a segmenter.
        images: All images that it will see, (N, H, W, in_channels), normalized.

    Returns:
        A function from float32 images (N, H, W, in_channels) to (N, num_classes), or to
        (N, H/4, W/4, num_classes).
    """
    stages = _scaled(_stages(network), images)

    def run(images):
        x, streams = images, []
        for layers in stages:
            for layer in layers:
                x = layer.activated(x)
            streams.append(x)
        if isinstance(network.head, FoldedSemanticFpn):
            return run_segmenter_head(network.head, streams)
        x = tf.reduce_mean(x, (1, 2))
        return tf.matmul(x, tf.constant(network.head.kernel, tf.float32)) + network.head.bias

    return run


def _stages(network):
    """The layers of each stage."""
    stages = []
    for stage in network.stages:
        layers = [Layer(stage.kernel, stage.bias, stage.stride, stage.padding)]
        for mlp in (block.mlp for block in stage.blocks):
            layers.append(Layer(mlp.fc1_kernel, mlp.fc1_bias, activation=mlp.activation))
            layers.append(Layer(mlp.fc2_kernel, mlp.fc2_bias))
        stages.append(layers)
    return stages


def _scaled(stages, images):
    """The layers of each stage, scaled for outputs of root mean square 1.

    Without norms a square doubles the exponents of all numbers: after a few blocks they would be
    infinite or 0, and such numbers have another speed than a network's.
    """
    scaled, x = [], tf.constant(images, tf.float32)
    for layers in stages:
        scaled.append([])
        for layer in layers:
            factor = float(tf.reduce_mean(layer(x) ** 2)) ** -0.5
            scaled[-1].append(layer.scaled(factor))
            x = scaled[-1][-1].activated(x)
    return scaled


def expected_operators(network, recipe):
    """{operator: count} that the floor's file has, and no other."""
    layers = [layer for stage in _stages(network) for layer in stage]
    expected = Counter(OPERATORS[layer.activation] for layer in layers if layer.activation)
    expected.update(CONV_2D=len(layers), PAD=sum(layer.padding > 0 for layer in layers))
    if isinstance(network.head, FoldedSemanticFpn):
        expected.update(segmenter_head_operators(network.head))
    else:
        expected.update(MEAN=1, FULLY_CONNECTED=1)
    if get_recipe(recipe).is_integer:
        expected["QUANTIZE"] = 1  # from the file's uint8 to the kernels' int8
    return expected


def require_floor(path, network, recipe):
    """Raises InputError unless a floor's file holds exactly the expected operators."""
    received = Counter(TFLiteModel(path).operators())
    expected = expected_operators(network, recipe)
    if received != expected:
        raise InputError(
            f"{path.name} must hold {dict(expected)} and nothing else. Received: {dict(received)}"
        )
