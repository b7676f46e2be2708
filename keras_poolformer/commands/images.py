"""The image files given to a command, and those of them that cannot be read."""

import argparse
import sys
from pathlib import Path

from keras_poolformer.data.image_listing import images_in
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.progress import print_note

UNREAD = 1  # exit status where some of several images could not be read


def image_files(paths: list[str]) -> list[Path]:
    """Lists the image files among paths and in folders, in order.

    Args:
        paths: Paths of files and folders.

    Raises:
        InputError: One of them does not exist, or a folder holds no images.
    """
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            files += images_in(path, print_note)
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path} must be an image file or a folder. Received: no such file")
    return files


def add_skip_broken(command: argparse.ArgumentParser) -> None:
    """Adds --skip-broken."""
    command.add_argument(
        "--skip-broken",
        action="store_true",
        help="exit with status 0 even if some images cannot be read",
    )


class BrokenImages:
    """Images of a command that cannot be read; the others are processed.

    Args:
        skip: Whether the command succeeds nevertheless, as with --skip-broken.
    """

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self._errors: list[ImageError] = []

    def add(self, error: ImageError) -> None:
        """Records an image that cannot be read."""
        self._errors.append(error)

    def check(self, total: int) -> None:
        """Raises the first error if no image of `total` could be read."""
        if self._errors and len(self._errors) == total:
            raise self._errors[0]

    def report(self) -> int:
        """Prints a line on stderr for each image; returns the exit status."""
        for error in self._errors:
            print(one_line(f"skipped {error}"), file=sys.stderr)
        return UNREAD if self._errors and not self._skip else 0
