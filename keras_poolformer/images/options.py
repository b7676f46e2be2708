"""What an `ImageTransform` accepts as sizes, numbers and channels."""

import math
import numbers
from collections.abc import Mapping

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

MAX_SIZE = 4096
MAX_RESIZED_PIXELS = 64_000_000  # a 1 x 65,000 picture would become 248 x 16,120,000


def is_number(value):
    """Whether a value is a finite number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool | np.bool_):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float's range
        return False


def as_pair(size):
    """(height, width) of a side or a pair."""
    return size if isinstance(size, tuple) else (size, size)


def checked_size(name, value):
    """One side as an int, or (height, width), from any form of transformers."""
    sides, pairs = [value], False
    if isinstance(value, Mapping):
        pairs = value.keys() == {"height", "width"}
        edges = ("height", "width") if pairs else ("shortest_edge",)
        known = pairs or (name == "size" and value.keys() == {"shortest_edge"})
        sides = [value[edge] for edge in edges] if known else []
    elif isinstance(value, list | tuple):
        sides, pairs = value, True
    if len(sides) != 1 + pairs or not all(_is_side(side) for side in sides):
        raise InputError(
            f"`{name}` must be a whole number of pixels, 1 to {MAX_SIZE}, or (height, width). "
            f"Received: {shown(value)}"
        )
    sides = tuple(int(side) for side in sides)
    is_square_crop = name == "crop_size" and len({*sides}) == 1
    return sides if pairs and not is_square_crop else sides[0]


def _is_side(value):
    whole = is_number(value) and isinstance(value, numbers.Integral)
    return whole and 1 <= int(value) <= MAX_SIZE


def checked_crop_pct(value, size):
    """The value as a float."""
    least = size / math.sqrt(MAX_RESIZED_PIXELS)  # less resizes every image beyond the limit
    if not is_number(value) or not least <= value <= 1:
        raise InputError(
            f"`crop_pct` must be None or a number up to 1, for size {size} at least {least:.3g}. "
            f"Received: {shown(value)}"
        )
    return float(value)


def checked_channels(name, values):
    """Three floats, from as many or from one."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if is_number(values):
        values = (values,) * 3
    plain = isinstance(values, list | tuple) and len(values) == 3
    if not plain or not all(is_number(value) for value in values):
        raise InputError(f"`{name}` must be a finite number or three. Received: {shown(values)}")
    return tuple(float(value) for value in values)
