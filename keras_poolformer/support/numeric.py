"""Numbers from outside, NumPy's too, as bounded Python ones."""

import numbers

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


def is_flag(value: object) -> bool:
    """Whether a value is Python's or NumPy's true or false."""
    return isinstance(value, bool | np.bool_)


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Returns a whole number as an int.

    Args:
        name: What the error calls it.
        value: An int, or another library's whole number.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InputError: It is not a whole number, or out of bounds.
    """
    if is_flag(value) or not isinstance(value, numbers.Integral) or not low <= value <= high:
        raise InputError(
            f"`{name}` must be a whole number from {low} to {high}. Received: {shown(value)}"
        )
    return int(value)


def real_number(name: str, value: object, low: float, high: float) -> float:
    """Returns a finite number as a float, or as an int where it is a whole number.

    Args:
        name: What the error calls it.
        value: An int or float, or another library's number.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InputError: It is not a finite number, or out of bounds.
    """
    is_number = isinstance(value, numbers.Real) and not is_flag(value)
    if not is_number or not low <= value <= high:  # no bound holds for NaN
        raise InputError(
            f"`{name}` must be a number from {low:g} to {high:g}. Received: {shown(value)}"
        )
    return int(value) if isinstance(value, numbers.Integral) else float(value)
