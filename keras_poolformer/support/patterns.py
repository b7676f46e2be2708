"""Paths that TensorFlow takes for patterns: it finds nothing in a folder called `lr=[1e-3]`."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_poolformer.support.errors import InputError

_PATTERN = re.compile(r"[*?\[\]\\{}]")


def refuse_patterns(address: str, name: str) -> None:
    """Refuses an address that TensorFlow would take for a pattern, which no link can hide.

    Args:
        address: Address as in gs://bucket/run; local paths are accepted as they are.
        name: What the error calls it.

    Raises:
        InputError: The address holds a character of patterns.
    """
    if "://" in address and _PATTERN.search(address):
        raise InputError(
            f"{name} must not contain any of *?[]\\{{}}, which TensorFlow takes for patterns. "
            f"Received: {address}"
        )


@contextlib.contextmanager
def without_patterns(folder: str | Path) -> Iterator[str]:
    """A path of an existing folder that TensorFlow takes literally: perhaps a symbolic link.

    Args:
        folder: Local path, or address as in gs://bucket/run, which is yielded as it is.

    Yields:
        The path, valid within the block.
    """
    if "://" in str(folder) or not _PATTERN.search(str(folder)):
        yield str(folder)
        return
    with tempfile.TemporaryDirectory() as parent:
        link = Path(parent) / "folder"
        link.symlink_to(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
        yield str(link)
