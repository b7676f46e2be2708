"""Paths that TensorFlow reads as patterns: it finds nothing in a folder called `lr=[1e-3]`."""

import contextlib
import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

from keras_poolformer.support.errors import InputError

_PATTERN = re.compile(r"[*?\[\]\\{}]")


def refuse_patterns(address: str, name: str) -> None:
    """Rejects an address that TensorFlow would read as a pattern; no link can work around it.

    Args:
        address: Address as in gs://bucket/run; all local paths are accepted.
        name: Name of the argument, for the error.

    Raises:
        InputError: The address contains a special character of patterns.
    """
    if "://" in address and _PATTERN.search(address):
        raise InputError(
            f"{name} must not contain any of *?[]\\{{}}, which TensorFlow reads as patterns. "
            f"Received: {address}"
        )


@contextlib.contextmanager
def without_patterns(folder: str | Path) -> Generator[str, None, None]:
    """Yields a path of an existing folder that TensorFlow reads literally; it may be a link.

    Args:
        folder: Local path, or address as in gs://bucket/run, which is yielded as it is.

    Yields:
        The path, valid within the block.
    """
    literal = str(folder) if "://" in str(folder) else Path(folder).as_posix()
    if "://" in literal or not _PATTERN.search(literal):
        yield literal
        return
    with tempfile.TemporaryDirectory() as parent:
        link = Path(parent) / "folder"
        try:
            link.symlink_to(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
        except OSError as error:  # Windows wants a right for it
            raise InputError(
                f"{folder} must not contain any of *?[]\\{{}}, which TensorFlow reads as patterns, "
                f"since no link to it can be made: {error.strerror}"
            ) from None
        yield str(link)
