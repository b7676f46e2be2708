"""The constants that the stream is divided by: equal ranges for its channels, free shortcuts.

A shortcut times r is the same stream with constants times r. They may drift away from what
equalizes the channels, for each costs a part of its 8 bits; then the shortcut is multiplied, and
they start anew.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.folding import FoldedNetwork
from keras_poolformer.export.networks.parts import FoldedStage
from keras_poolformer.export.networks.places import (
    EMBEDDING,
    MIXER_SUM,
    MLP_SUM,
    PROJECTION,
    Place,
)
from keras_poolformer.export.networks.ranges import Marker

LEAST_SCALE = 1e-3  # of a channel, relative to the largest of its stage: some channels are silent
LARGEST_DRIFT = 2.0  # of a channel's constant, as a factor: one of its 8 bits


def unit_scales(network: FoldedNetwork) -> dict[Place, np.ndarray]:
    """Returns constants of 1 for each place whose tensor is divided by some."""
    return {
        place: np.ones_like(stage.bias)
        for index, stage in enumerate(network.stages)
        for place in (Place(index, None, PROJECTION), *_streams(index, stage))
    }


def _streams(index: int, stage: FoldedStage) -> dict[Place, np.ndarray | None]:
    """{place of the stream: scale of the shortcut that leads there}, in order."""
    places: dict[Place, np.ndarray | None] = {Place(index, None, EMBEDDING): None}
    for number, block in enumerate(stage.blocks):
        places[Place(index, number, MIXER_SUM)] = block.mixer_shortcut
        places[Place(index, number, MLP_SUM)] = block.mlp_shortcut
    return places


class ScaleStatistics(Marker):
    """Gathers mean, largest value and root mean square of scaled tensors' channels, by place."""

    def __init__(self) -> None:
        self._sums: dict[Place, np.ndarray] = {}  # of values and of their squares, (2, C)
        self._largest: dict[Place, np.ndarray] = {}  # magnitude, (C,)
        self._counts: dict[Place, int] = {}

    def __call__(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Gathers, and returns `tensor`."""
        if place.has_scale:
            values = np.asarray(tensor, np.float64)
            sums = np.stack([values.sum((0, 1, 2)), (values**2).sum((0, 1, 2))])
            largest = abs(values).max((0, 1, 2))
            self._sums[place] = self._sums.get(place, 0.0) + sums
            self._largest[place] = np.maximum(self._largest.get(place, 0.0), largest)
            self._counts[place] = self._counts.get(place, 0) + values[..., 0].size
        return tensor

    def means(self) -> dict[tuple[int, int], np.ndarray]:
        """Returns {(stage, block): mean of each channel of the block's output}."""
        return {
            (place.stage, place.block): sums[0] / self._counts[place]
            for place, sums in self._sums.items()
            if place.is_block_output and place.stage is not None and place.block is not None
        }

    def scales(self, network: FoldedNetwork) -> dict[Place, np.ndarray]:
        """Returns the constants of each place.

        Args:
            network: Network whose tensors were gathered, with constants of 1.
        """
        scales: dict[Place, np.ndarray] = {}
        for index, stage in enumerate(network.stages):
            projection = Place(index, None, PROJECTION)
            if projection in self._sums:
                scales[projection] = self._equalizing([projection])
            streams = _streams(index, stage)
            scale = equalizing = self._equalizing(list(streams))
            for place, shortcut in streams.items():
                scale = scales[place] = _behind_shortcut(scale, shortcut, equalizing)
        return scales

    def _equalizing(self, places: Sequence[Place]) -> np.ndarray:
        """A constant per channel for some places: between its deviation and its maximum.

        With only the maximum, a channel with a long tail would use few of its 256 steps; with
        only the deviation, its tail would be clipped.
        """
        largest = np.max([self._largest[place] for place in places], 0)
        squares = np.mean([self._sums[place][1] / self._counts[place] for place in places], 0)
        scale = np.sqrt(largest * np.sqrt(squares))
        return np.maximum(scale, LEAST_SCALE * scale.max() + 1e-12)


def _behind_shortcut(
    scale: np.ndarray, shortcut: np.ndarray | None, equalizing: np.ndarray
) -> np.ndarray:
    if shortcut is None:
        return scale
    scaled = scale * shortcut
    drift = scaled / equalizing
    is_near = (drift > 1 / LARGEST_DRIFT).all() and (drift < LARGEST_DRIFT).all()
    return scaled if is_near else equalizing
