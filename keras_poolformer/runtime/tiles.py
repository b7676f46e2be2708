"""Overlapping tiles of a picture that is larger than what a file takes."""

from collections.abc import Callable

import numpy as np

from keras_poolformer.images.mmseg import MULTIPLE

OVERLAP = 0.25  # of a tile's side, at least, between neighbors; none for a side of 32 pixels


def average_tiles(
    predict: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    tile: tuple[int, int],
    output: tuple[int, int, int],
) -> np.ndarray:
    """Runs a network on overlapping tiles and averages what it returns.

    Tiles start at multiples of 32 pixels, where the strides of the network coincide with those on
    the whole picture; the last ones end at the picture's edges. Each position counts by its
    distance from the edges of its tile, where the network sees the least of its surroundings. A
    picture that is smaller than a tile is continued by its mirror image, since the norms of the
    network take the whole tile into account.

    Args:
        predict: Function from tiles, uint8 (N, *tile, 3), to logits (N, *output).
        pixels: Picture, uint8 (H, W, 3), whose sides are multiples of 32.
        tile: (height, width) of a tile in pixels.
        output: (height, width, classes) of the logits of a tile.

    Returns:
        float32 (H / stride, W / stride, classes), where the stride is that of the logits.
    """
    missing = [max(0, side - have) for side, have in zip(tile, pixels.shape[:2], strict=True)]
    padded = np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")
    tops, lefts = map(tile_starts, padded.shape[:2], tile)
    high, wide, classes = output
    stride = tile[0] // high
    grid = (padded.shape[0] // stride, padded.shape[1] // stride)
    total, weights = np.zeros((*grid, classes), np.float32), np.zeros((*grid, 1), np.float32)
    weight = np.outer(_distances(high), _distances(wide))[..., None]
    for top in tops:
        row = [padded[top : top + tile[0], left : left + tile[1]] for left in lefts]
        for left, logits in zip(lefts, predict(np.stack(row)), strict=True):
            rows, columns = top // stride, left // stride
            place = np.s_[rows : rows + high, columns : columns + wide]
            total[place] += weight * logits
            weights[place] += weight
    return (total / weights)[: pixels.shape[0] // stride, : pixels.shape[1] // stride]


def tile_starts(length: int, side: int) -> list[int]:
    """Returns the first pixel of each tile along one axis.

    Args:
        length: Length of the picture in pixels, at least `side`.
        side: Length of a tile in pixels.
    """
    step = max(int(side * (1 - OVERLAP)) // MULTIPLE, 1) * MULTIPLE
    return [*range(0, length - side, step), length - side]


def _distances(length: int) -> np.ndarray:
    """The distance of each position from the nearest edge of its tile."""
    places = np.arange(length) + 0.5
    return np.minimum(places, length - places).astype(np.float32)
