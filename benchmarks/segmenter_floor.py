"""The floor of a segmenter's neck and head: its convolutions with their ReLUs, and its resizes.

No norms, no top-down sums and none of their doublings to the nearest pixel. Three sums stay, by
which the four levels become one output, as in the network.
"""

import tensorflow as tf

from keras_poolformer.export.networks.semantic_fpn import double_bilinear


def run_segmenter_head(head, streams):
    """Returns what stands for logits, (N, H/4, W/4, classes).

    Args:
        head: `FoldedSemanticFpn`.
        streams: float32 outputs of the stages, (N, H/4, W/4, C0), (N, H/8, W/8, C1), ...
    """
    levels = []
    for lateral, output, scales, x in zip(
        head.laterals, head.outputs, head.scales, streams, strict=True
    ):
        x = _convolve(output, _convolve(lateral, x))
        for step, scale in enumerate(scales):
            x = tf.nn.relu(_convolve(scale, double_bilinear(x) if step else x))
        levels.append(x)
    finest, *coarser = levels
    logits = _convolve(head.last, finest)
    return logits + double_bilinear(_convolve(head.last, sum(coarser[1:], coarser[0])))


def segmenter_head_operators(head):
    """{operator: count} of neck and head in the floor's file."""
    convolutions = sum(map(len, head.scales))
    levels = len(head.scales)
    return {
        "CONV_2D": 2 * levels + convolutions + 2,
        "RESIZE_BILINEAR": convolutions - levels + 1,
        "ADD": levels - 1,
    }


def _convolve(layer, x):
    kernel, bias = (tf.constant(array, tf.float32) for array in (layer.kernel, layer.bias))
    return tf.nn.conv2d(x, kernel, 1, "SAME") + bias
