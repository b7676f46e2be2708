"""What the options of augmentations share: checks, and how pixels are normalized."""

import math
import numbers
from typing import Any, Protocol

from keras_poolformer.support.errors import InputError


class Normalization(Protocol):
    """Options of any augmentation that say how its pixels are normalized."""

    @property
    def size(self) -> int:
        """Side of the square image in pixels."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, of values from 0 to 1."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, of values from 0 to 1."""
        ...


def checked_range(name: str, value: Any, most: float) -> tuple[float, ...]:
    """Returns a range of positive numbers as floats.

    Args:
        name: Name of the option.
        value: Value of the option.
        most: Highest number that is allowed.

    Raises:
        InputError: It is not such a range.
    """
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if not is_pair or not all(_is_number(end) for end in value) or not 0 < value[0] <= value[1]:
        raise InputError(
            f"`{name}` must be two positive numbers, the lower first. Received: {value!r}"
        )
    if value[1] > most:
        raise InputError(f"`{name}` must not exceed {most:g}. Received: {value!r}")
    return tuple(float(end) for end in value)


def checked_probability(name: str, value: Any) -> float:
    """Returns a probability as a float.

    Args:
        name: Name of the option.
        value: Value of the option.

    Raises:
        InputError: It is not a number from 0 to 1.
    """
    if not _is_number(value) or not 0 <= value <= 1:
        raise InputError(f"`{name}` must be a probability, 0 to 1. Received: {value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
