"""Adapts a first convolution to another number of image channels."""

import math

import numpy as np


def adapt_stem(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Makes the weights of a first convolution fit images of other channels, as timm does.

    One channel gets the sum over the old ones, so that a gray image gives the result of the same
    image in RGB. More channels repeat the old ones in turn, scaled so that the sum stays the same
    where all channels are alike (timm/models/_manipulate.py, `adapt_input_conv`; bit for bit).

    Args:
        kernel: Weights (O, I, H, W), in PyTorch's axes.
        channels: Number of channels of the images.

    Returns:
        Weights (O, channels, H, W) of the same dtype, computed in float32.
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
