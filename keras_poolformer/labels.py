"""Names and colors of classes: every list of them is checked here, wherever it comes from."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import is_text, shown
from keras_poolformer.support.numeric import whole_number
from keras_poolformer.support.untyped import is_list

Color = tuple[int, int, int]  # red, green, blue: 0 to 255

MAX_LABEL = 1000  # characters; ImageNet's longest has 121
_MAX_FILE = 64 * 2**20  # bytes


def checked_labels(
    labels: Any, num_classes: int | None = None, name: str = "`labels`"
) -> tuple[str, ...]:
    """Returns class names that fit on one line each, so that every file format can hold them.

    Args:
        labels: Class names in the order of the classes: a list, tuple or array of strings. Two
            classes may have the same name, as in ImageNet.
        num_classes: Number of classes, or None where it is not known.
        name: Name of the labels, for errors.

    Raises:
        InputError: They are not strings, a name is empty, longer than 1,000 characters or
            contains a control character or line break, or their number differs from
            `num_classes`.
    """
    values = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not is_list(values) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{name} must be a list of class names. Received: {shown(values)}")
    for index, label in enumerate(values):
        if not label.strip() or len(label) > MAX_LABEL or not is_text(label):
            raise InputError(
                f"{name} must be one line of 1 to {MAX_LABEL:,} characters for each class, without "
                f"control characters. Received: {shown(label)} for class {index}"
            )
    if num_classes is not None and len(values) != num_classes:
        raise InputError(
            f"{name} must name all {num_classes:,} classes. Received: {len(values):,} labels"
        )
    return tuple(str(label) for label in values)


def checked_palette(palette: Any, num_classes: int | None = None) -> tuple[Color, ...]:
    """Returns the colors of classes as whole numbers.

    Args:
        palette: Colors in the order of the classes: a list, tuple or array of (red, green, blue),
            each 0 to 255.
        num_classes: Number of classes, or None where it is not known.

    Raises:
        InputError: They are not such colors, or their number differs from `num_classes`.
    """
    values = palette.tolist() if isinstance(palette, np.ndarray) else palette
    if not is_list(values) or not all(is_list(color) and len(color) == 3 for color in values):
        raise InputError(
            "`palette` must be a list of (red, green, blue), one for each class. "
            f"Received: {shown(values)}"
        )
    if num_classes is not None and len(values) != num_classes:
        raise InputError(
            f"`palette` must have a color for all {num_classes:,} classes. "
            f"Received: {len(values):,} colors"
        )
    colors: list[Color] = []
    for color in values:
        red, green, blue = (whole_number("palette", value, 0, 255) for value in color)
        colors.append((red, green, blue))
    return tuple(colors)


def read_labels(path: str | os.PathLike[str], num_classes: int | None = None) -> tuple[str, ...]:
    """Reads a file of class names: UTF-8, one name a line.

    Args:
        path: Path of the text file.
        num_classes: Number of classes, or None where it is not known.

    Raises:
        InputError: The file does not exist, is too large or not UTF-8, or its lines are not
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
