"""Checks of the options of an `ImageTransform`: sizes, numbers and channels."""

import math
import numbers
from typing import Any, TypeGuard

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.numeric import is_flag
from keras_poolformer.support.untyped import is_list, is_mapping

CROP_MODES = ("hf", "mmseg", "timm")
DATA_FORMATS = ("channels_last", "channels_first")
FLAGS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
# Names that timm and transformers have for our options.
OTHER_NAMES = {
    "image_mean": "mean",
    "image_std": "std",
    "input_size": "size",
    "resample": "interpolation",
    "shortest_edge": "size",
}
MAX_SIZE = 4096  # pixels of a side
MAX_RESIZED_PIXELS = 64_000_000  # a 1 x 65,000 image would become 248 x 16,120,000

Size = int | tuple[int, int]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    if not isinstance(value, numbers.Real) or is_flag(value):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float's range
        return False


def as_pair(size: Size) -> tuple[int, int]:
    """Returns (height, width) of a side or a pair."""
    return size if isinstance(size, tuple) else (size, size)


def checked_size(name: str, value: Any) -> Size:
    """Returns a size as one side, or as (height, width).

    A square `crop_size` becomes one side.

    Args:
        name: Name of the option, "size" or "crop_size".
        value: Side, (height, width), {"height": ..., "width": ...} as transformers has it, or, as
            `size` alone, {"shortest_edge": side}.

    Raises:
        InputError: The value has another form, or a side is out of range.
    """
    if is_mapping(value):
        if name == "size" and set(value) == {"shortest_edge"}:
            return _checked_side(name, value["shortest_edge"], value)
        sides = [value["height"], value["width"]] if set(value) == {"height", "width"} else []
    elif is_list(value):
        sides = list(value)
    else:
        return _checked_side(name, value, value)
    if len(sides) != 2:
        raise _size_error(name, value)
    height = _checked_side(name, sides[0], value)
    width = _checked_side(name, sides[1], value)
    return height if name == "crop_size" and height == width else (height, width)


def _checked_side(name: str, side: Any, value: object) -> int:
    is_whole = is_number(side) and isinstance(side, numbers.Integral)
    if not is_whole or not 1 <= int(side) <= MAX_SIZE:
        raise _size_error(name, value)
    return int(side)


def _size_error(name: str, value: object) -> InputError:
    return InputError(
        f"`{name}` must be a whole number of pixels, 1 to {MAX_SIZE}, or (height, width). "
        f"Received: {shown(value)}"
    )


def checked_crop_pct(value: object, size: int) -> float:
    """Returns the fraction of the resized image that the crop keeps, as a float.

    Args:
        value: Value of the option `crop_pct`.
        size: Longer side of the option `size`.

    Raises:
        InputError: It is not a number, above 1, or so small that every resize would be too large.
    """
    least = size / math.sqrt(MAX_RESIZED_PIXELS)
    if not is_number(value) or not least <= value <= 1:
        raise InputError(
            f"`crop_pct` must be None or a number up to 1, for size {size} at least {least:.3g}. "
            f"Received: {shown(value)}"
        )
    return float(value)


def checked_channels(name: str, value: Any) -> tuple[float, float, float]:
    """Returns the three floats of an option that has a value per channel.

    Args:
        name: Name of the option.
        value: Number for all three channels, or a list, tuple or array of three.

    Raises:
        InputError: It is none of these, or not finite.
    """
    values = value.tolist() if isinstance(value, np.ndarray) else value
    if is_number(values):
        values = (values,) * 3
    if not is_list(values) or len(values) != 3 or not all(is_number(item) for item in values):
        raise InputError(f"`{name}` must be a finite number or three. Received: {shown(values)}")
    red, green, blue = (float(item) for item in values)
    return red, green, blue


def check_mmseg(crop_pct: float | None, interpolation: str, do_center_crop: bool) -> None:
    """Rejects options that mmsegmentation's pipeline has no counterpart of.

    Raises:
        InputError: An option is another one than `crop_mode`='mmseg' needs.
    """
    if (crop_pct, interpolation, do_center_crop) != (None, "bilinear", False):
        raise InputError(
            "`crop_mode`='mmseg' needs crop_pct=None, interpolation='bilinear', "
            f"do_center_crop=False. Received: {crop_pct}, {interpolation!r}, {do_center_crop}"
        )


def checked_flag(name: str, value: Any) -> bool:
    """Returns an option that is true or false as a bool.

    Raises:
        InputError: It is something else.
    """
    if not is_flag(value):
        raise InputError(f"`{name}` must be True or False. Received: {shown(value)}")
    return bool(value)


def checked_scale(name: str, value: object) -> float:
    """Returns an option that is a positive number as a float.

    Raises:
        InputError: It is something else.
    """
    if not is_number(value) or value <= 0:
        raise InputError(f"`{name}` must be a positive number. Received: {shown(value)}")
    return float(value)
