"""A first convolution for another number of image channels than it was trained with."""

import math

import numpy as np


def adapt_stem(kernel, channels):
    """Makes a first convolution's weights fit images of other channels, as timm does.

    One channel gets the sum over the old ones, so that a grey image gives what it would give
    as an RGB one. More get the old ones in turn, scaled so that the sum stays the same where
    all channels are alike (timm/models/_manipulate.py, `adapt_input_conv`; bit for bit).

    Args:
        kernel: (O, I, H, W), PyTorch's axes.
        channels: of the images.

    Returns:
        (O, channels, H, W) of the same dtype, computed in float32.
    """
    old = kernel.shape[1]
    if channels == old:
        return kernel
    if channels == 1:
        adapted = kernel.sum(axis=1, keepdims=True, dtype=np.float32)
    else:
        turns = math.ceil(channels / old)
        adapted = np.tile(kernel.astype(np.float32), (1, turns, 1, 1))[:, :channels]
        adapted = adapted * np.float32(old / channels)
    return adapted.astype(kernel.dtype)
