"""Opens untrusted files: only regular ones, so that no reader hangs."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from keras_poolformer.support.errors import InputError

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading.

    A pipe would keep its reader waiting and a device such as /dev/zero never ends; both are
    rejected without being read, also behind a link.

    Args:
        path: Path of the file.

    Raises:
        InputError: The file does not exist, is not a regular file, or cannot be opened.
    """
    try:
        _require_regular(path, Path(path).stat().st_mode)  # some devices act on being opened
        file = os.fdopen(os.open(path, _FLAGS), "rb")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of an existing file") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}") from None
    try:
        _require_regular(path, os.fstat(file.fileno()).st_mode)
    except InputError:
        file.close()
        raise
    return file


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Reads a regular file of bounded size.

    Args:
        path: Path of the file.
        max_bytes: Largest size that is accepted, in bytes.

    Raises:
        InputError: The file cannot be read, or is larger.
    """
    with open_regular(path) as file:
        try:
            data = file.read(max_bytes + 1)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > max_bytes:
        raise InputError(f"{path} must have at most {max_bytes:,} bytes")
    return data


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a regular file or a link to one; False for impossible paths."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _require_regular(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{path} is not a regular file but {kind}")
