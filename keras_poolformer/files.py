"""Output files that are whole or not there."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from keras_poolformer.errors import InputError


def size_of(path):
    """Returns the bytes of a file, or of all files in a directory."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def refuse_existing(path, overwrite):
    """Raises InputError if `path` exists and may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{path} exists already: choose another path, or ask to overwrite it")


@contextlib.contextmanager
def replacing(path, overwrite=True):
    """Yields a path to write to; it becomes `path` only if the block ends without an error.

    Whatever the block writes there, a file or a directory, lies in a temporary directory
    beside `path` until then, so that a crash or a full disk leaves an old `path` untouched.
    The temporary name ends in the same suffix as `path`.

    Args:
        path: where the output shall be.
        overwrite: whether an existing `path` may be replaced.

    Raises:
        InputError: `path` exists and `overwrite` is false, or its folder does not exist.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: {path.parent} is not an existing folder")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        yield written
        if path.is_dir() and not path.is_symlink():
            shutil.move(path, Path(folder) / "replaced")
        written.replace(path)
