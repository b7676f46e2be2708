"""How mmsegmentation's test pipeline resizes images: twice, with OpenCV's bilinear filter.

This stays our own code: OpenCV would be a dependency of 60 MB for one function, and Pillow's
bilinear filter, which averages when it shrinks, gives other pixels. OpenCV
(`modules/imgproc/src/resize.cpp`) interpolates between two neighbors only, with weights of 11
bits, first along the rows.
"""

from typing import NamedTuple

import numpy as np

LONGEST = 4  # times the length that the shorter side is resized to: 2048 and 512
MULTIPLE = 32  # of which the sides are that a segmenter sees, as all its strides divide it
WEIGHT_BITS = 11


def sizes(target: int | tuple[int, int], width: int, height: int) -> list[tuple[int, int]]:
    """Returns (width, height) after each resizing of the pipeline.

    The shorter side becomes `target` unless the longer one would pass four times that; then both
    are stretched to the next multiple of 32 (`Resize`, `ResizeToMultiple`).

    Args:
        target: Length of the shorter side, or (height, width) of the result.
        width: Width before resizing.
        height: Height before resizing.
    """
    if isinstance(target, tuple):
        return [(target[1], target[0])]
    scale = min(LONGEST * target / max(width, height), target / min(width, height))
    width, height = (max(int(side * scale + 0.5), 1) for side in (width, height))
    aligned_width, aligned_height = (-(-side // MULTIPLE) * MULTIPLE for side in (width, height))
    return [(width, height), (aligned_width, aligned_height)]


def prepare(pixels: np.ndarray, target: int | tuple[int, int]) -> np.ndarray:
    """Resizes an image as the pipeline does.

    Args:
        pixels: uint8 (H, W, C).
        target: Length of the shorter side, or (height, width) of the result.

    Returns:
        uint8 (H', W', C).
    """
    height, width = pixels.shape[:2]
    for size in sizes(target, width, height):
        pixels = resize(pixels, *size)
    return pixels


class _Axis(NamedTuple):
    """The two neighbors of each output and their weights, which add up to 2**11."""

    first: np.ndarray
    second: np.ndarray
    first_weight: np.ndarray
    second_weight: np.ndarray


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resizes an image as `cv2.resize` does by default, to the last bit.

    Args:
        pixels: uint8 (H, W, C).
        width: Width of the result in pixels.
        height: Height of the result in pixels.

    Returns:
        uint8 (height, width, C).
    """
    old_height, old_width = pixels.shape[:2]
    if (old_width, old_height) == (width, height):
        return pixels.copy()
    values = pixels.astype(np.int32)
    if (old_width, old_height) == (2 * width, 2 * height):  # for which OpenCV takes the mean
        corners = values.reshape(height, 2, width, 2, -1)
        return ((corners.sum((1, 3)) + 2) >> 2).astype(np.uint8)
    columns = _axis(old_width, width, stops_at_edges=True)
    rows = _axis(old_height, height, stops_at_edges=False)
    mixed = values[:, columns.first] * columns.first_weight[:, None]
    mixed += values[:, columns.second] * columns.second_weight[:, None]
    mixed >>= 4  # so that the products fit into 32 bits
    upper = mixed[rows.first] * rows.first_weight[:, None, None] >> 16
    lower = mixed[rows.second] * rows.second_weight[:, None, None] >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def _axis(length: int, resized: int, stops_at_edges: bool) -> _Axis:
    """Plans the interpolation of one axis.

    Args:
        length: Number of pixels.
        resized: Number of pixels of the result.
        stops_at_edges: Whether an output beyond the outermost pixels is that pixel by itself;
            else that pixel is mixed with itself, which rounds differently.
    """
    scale = 1 / (resized / length)
    positions = ((np.arange(resized) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(positions).astype(np.int64)
    fraction = positions - first.astype(np.float32)
    if stops_at_edges:
        fraction[(first < 0) | (first >= length - 1)] = 0
    whole = 1 << WEIGHT_BITS
    return _Axis(
        first.clip(0, length - 1),
        (first + 1).clip(0, length - 1),
        np.rint((1 - fraction) * whole).astype(np.int32),
        np.rint(fraction * whole).astype(np.int32),
    )
