"""Class names: what one may contain is checked here, wherever it enters."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import is_text, shown

MAX_LABEL = 1000  # characters; ImageNet's longest has 121
_MAX_FILE = 64 * 2**20  # bytes


def checked_labels(
    labels: Sequence[str] | np.ndarray, num_classes: int | None = None, name: str = "`labels`"
) -> tuple[str, ...]:
    """Returns class names that every consumer can hold, one to a line.

    Args:
        labels: Class names in the order of the classes: a list, tuple or array of strings. Two
            classes may have the same name, as in ImageNet.
        num_classes: Number of classes to be named, or None where it is not known.
        name: What the error calls the labels.

    Raises:
        InputError: They are not strings, a name is empty, longer than 1,000 characters or holds
            a control character or line break, or their number differs from `num_classes`.
    """
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{name} must be a list of class names. Received: {shown(labels)}")
    for index, label in enumerate(labels):
        if not label.strip() or len(label) > MAX_LABEL or not is_text(label):
            raise InputError(
                f"{name} must be one line of 1 to {MAX_LABEL:,} characters for each class, without "
                f"control characters. Received: {shown(label)} for class {index}"
            )
    if num_classes is not None and len(labels) != num_classes:
        raise InputError(
            f"{name} must name all {num_classes:,} classes. Received: {len(labels):,} labels"
        )
    return tuple(str(label) for label in labels)


def read_labels(path: str | Path, num_classes: int | None = None) -> tuple[str, ...]:
    """Reads a file of class names: UTF-8, one name a line.

    Args:
        path: The text file.
        num_classes: Number of classes to be named, or None where it is not known.

    Raises:
        InputError: There is no such file, it is too large or not UTF-8, or its lines are not
            valid class names.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} must be a text file of class names. Received: no such file")
    if path.stat().st_size > _MAX_FILE:
        raise InputError(f"{path} must have at most {_MAX_FILE:,} bytes of class names")
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be UTF-8, one class name a line: {error}") from None
    return checked_labels(text.removesuffix("\n").split("\n"), num_classes, f"{path}:")
