"""Reads JSON from untrusted files: objects of bounded size and depth."""

import json
import os
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.regular_files import read_bytes
from keras_poolformer.support.untyped import is_dict, is_list

MAX_JSON_BYTES = 8 * 2**20  # 22,000 class names, twice over, take 2 MiB
MAX_JSON_DEPTH = 32  # levels of lists and objects; Keras writes 8
_MAX_CONTAINERS = 200_000  # an empty object takes 2 bytes in a file and 64 in memory


def read_json(path: str | os.PathLike[str], max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Args:
        path: Path of the file.
        max_bytes: Largest size that is accepted, in bytes.

    Raises:
        InputError: The file is missing, not a regular one, too large, or not a valid JSON
            object in UTF-8.
    """
    return parse_json(read_bytes(path, max_bytes), str(path))


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """Parses a JSON object.

    NaN and infinity, which JSON does not have, are rejected, and so is nesting that is deep
    enough for a RecursionError in a later walk through the values.

    Args:
        data: Text in UTF-8.
        name: Name of the text, for the error.

    Raises:
        InputError: The text is not a valid JSON object, or is nested too deeply.
    """
    if data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS:
        raise InputError(f"{name} must have at most {_MAX_CONTAINERS:,} lists and objects")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_reject_constant)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # includes bad UTF-8 and numbers with thousands of digits
        raise InputError(f"{name} is not valid JSON: {one_line(error, 120)}") from None
    if not is_dict(value):
        raise InputError(f"{name} must hold a JSON object. Received: {type(value).__name__}")
    _check_depth(value, name)
    return value


def _check_depth(value: dict[str, Any], name: str) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        children = [
            child for parent in level for child in (parent.values() if is_dict(parent) else parent)
        ]
        level = [child for child in children if is_dict(child) or is_list(child)]
        if not level:
            return
    raise _too_deep(name)


def _too_deep(name: str) -> InputError:
    return InputError(f"{name} is not usable JSON: nested too deeply")


def _reject_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
