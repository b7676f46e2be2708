"""Matches the classes of a data set that numbers them with the classes of a model."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_poolformer.data.folders import match_labels, spread
from keras_poolformer.support.errors import InputError


def match_classes(
    names: Sequence[str],
    labels: Sequence[str] | None,
    num_classes: int,
    data: str,
    numbers: bool = False,
) -> tuple[list[int], bool]:
    """Finds the model's class for each class of a data set.

    By name, exactly, as class folders are labeled; by position only where no name is a label and
    both have the same number of classes.

    Args:
        names: Class names of the data, in the order of its classes.
        labels: Class names of the model, in the order of its classes; empty if unknown.
        num_classes: Number of classes of the model.
        data: Name of the data, for errors.
        numbers: Whether names that are numbers mean the classes of these numbers, as names of
            class folders do.

    Returns:
        (class index of the model for each name, whether they were matched by position).

    Raises:
        InputError: The classes do not match.
    """
    names, labels = list(names), list(labels or ())
    # Names that differ only in spelling may also be in another order: an error.
    if _folded(names) & _folded(labels):
        return match_labels(names, labels, num_classes, f"the classes of {data}", False), False
    if numbers and all(name.isascii() and name.isdecimal() for name in names):
        return match_labels(names, labels, num_classes), False
    if len(names) == num_classes:
        return list(range(num_classes)), True
    raise InputError(
        f"{data} must have the model's labels, or {num_classes} classes as the model has. "
        f"Received: {len(names)} classes ({_few(names)}), none of them a label"
    )


def chosen(examples: Iterable[Any], total: int, limit: int | None) -> Iterator[tuple[int, Any]]:
    """Yields at most `limit` of `total` examples, evenly spread, each with its number."""
    numbers = spread(range(total), limit)
    wanted = numbers if limit is None else frozenset(numbers)
    for number, example in enumerate(examples):
        if number in wanted:
            yield number, example
        if number == numbers[-1]:
            return


def class_index(image: Any, label: Any, indices: Sequence[int], hint: str = "") -> int:
    """The model's class of an image.

    Args:
        image: The image, for errors.
        label: Class number in the data.
        indices: Class index of the model for each class of the data.
        hint: End of the error.

    Raises:
        InputError: The data have no such class.
    """
    label = int(label)
    if not 0 <= label < len(indices):
        raise InputError(
            f"{image} must have a class, 0 to {len(indices) - 1}. Received: {label}{hint}"
        )
    return indices[label]


def _folded(names: Iterable[str]) -> set[str]:
    return {re.sub(r"[\s_-]+", " ", name.casefold()) for name in names}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{names[0]} ... {names[-1]}"
