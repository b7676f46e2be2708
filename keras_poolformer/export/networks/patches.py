"""A strided convolution as a 1x1 convolution of gathered patches.

LiteRT is fast with weights of 4 bits only in FULLY_CONNECTED, which a 1x1 convolution is. With
space-to-depth each cell of `stride` x `stride` pixels becomes one pixel, so the patch of every
output is in slices of a few neighboring cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.operations import Tensor


@dataclass(frozen=True)
class PatchGathering:
    """Gathers the pixels that each output of a convolution sees.

    Args:
        side: Side of the convolution's kernel, in pixels.
        stride: Stride of the convolution.
    """

    side: int
    stride: int

    def __call__(self, padded: Tensor) -> Tensor:
        """Returns the patch of each output, (N, h, w, side * side * C).

        Args:
            padded: Map with its zero padding, (N, H, W, C).
        """
        images, height, width, channels = padded.shape
        h, w = ((size - self.side) // self.stride + 1 for size in (height, width))
        # Whole cells; what is added behind the last patch is in none of them.
        bottom, right = (-size % self.stride for size in (height, width))
        padded = tf.pad(padded, ((0, 0), (0, bottom), (0, right), (0, 0)))
        cells = tf.nn.space_to_depth(padded, self.stride)
        slices = [
            tf.slice(cells, (0, top, left, first * channels), (images, h, w, count * channels))
            for top, left, first, count in self._slices()
        ]
        return tf.concat(slices, -1)

    def kernel(self, kernel: np.ndarray) -> np.ndarray:
        """Returns a kernel (side, side, C, out) as (1, 1, side * side * C, out), for patches."""
        # The kernel of an output is a map with a single patch, all of it.
        gathered = self(kernel.transpose(3, 0, 1, 2)).numpy()
        return gathered.transpose(1, 2, 3, 0)

    def _slices(self) -> Iterator[tuple[int, int, int, int]]:
        """(Row of cells, column of cells, first pixel in the cell, number of pixels) of slices."""
        starts = range(0, self.side, self.stride)
        for row, top in enumerate(starts):
            for column, left in enumerate(starts):
                height, width = (min(self.stride, self.side - start) for start in (top, left))
                if width == self.stride:  # whole rows of the cell are one slice
                    yield row, column, 0, height * width
                    continue
                for line in range(height):
                    yield row, column, line * self.stride, width
