"""Numbers from outside, including NumPy's, as bounded Python numbers."""

import numbers
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


def is_flag(value: object) -> bool:
    """Whether a value is Python's or NumPy's true or false."""
    return isinstance(value, bool | np.bool_)


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Returns a whole number as an int.

    Args:
        name: Name of the argument, for the error.
        value: Int, or another library's whole number.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InputError: It is not a whole number, or out of bounds.
    """
    number: Any = value
    is_whole = isinstance(value, numbers.Integral) and not is_flag(value)
    if not is_whole or not low <= number <= high:
        raise InputError(
            f"`{name}` must be a whole number from {low} to {high}. Received: {shown(value)}"
        )
    return int(number)


def whole_numbers(name: str, values: Any, low: int, high: int) -> tuple[int, ...]:
    """Returns several whole numbers as a tuple of ints.

    Args:
        name: Name of the argument, for the error.
        values: Iterable of ints, or of another library's whole numbers.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InputError: It is not an iterable, or one is not a whole number or out of bounds.
    """
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InputError(f"`{name}` must be a list of whole numbers. Received: {shown(values)}")
    return tuple(whole_number(name, value, low, high) for value in values)


def real_number(name: str, value: object, low: float, high: float) -> float:
    """Returns a finite number as a float, or as an int where it has an integer type.

    Args:
        name: Name of the argument, for the error.
        value: Int or float, or another library's number.
        low: Smallest accepted value.
        high: Largest accepted value.

    Raises:
        InputError: It is not a finite number, or out of bounds.
    """
    number: Any = value
    is_number = isinstance(value, numbers.Real) and not is_flag(value)
    if not is_number or not low <= number <= high:  # no bound holds for NaN
        raise InputError(
            f"`{name}` must be a number from {low:g} to {high:g}. Received: {shown(value)}"
        )
    return int(number) if isinstance(value, numbers.Integral) else float(number)
