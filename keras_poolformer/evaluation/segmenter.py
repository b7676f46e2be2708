"""A segmenter, whatever runs it: what commands need of one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_poolformer.labels import Color


@dataclass(frozen=True)
class Segmenter:
    """A segmenter, whatever runs it.

    Args:
        name: Name of the source, for errors.
        segment: Function from an image (a path, an `EncodedImage`, a PIL image or a uint8 array) to
            the class of each pixel: uint8 or uint16 (H, W) of the image's own size, upright.
        num_classes: Number of classes; None for a file that returns labels and names none.
        labels: Class names in the order of the classes; () if unknown.
        palette: Colors of the classes, or None if they have none.
    """

    name: str
    segment: Callable[[Any], np.ndarray]
    num_classes: int | None
    labels: tuple[str, ...] = ()
    palette: tuple[Color, ...] | None = None
