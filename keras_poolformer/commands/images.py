"""The images given to a command, those of them that cannot be read, and tables about them."""

import argparse
import csv
import glob
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_poolformer.data.image_listing import images_in
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import one_line, printable
from keras_poolformer.support.progress import print_note

STANDARD_INPUT = "-"
UNREAD = 1  # exit status where some of several images could not be read


def add_images(command: argparse.ArgumentParser) -> None:
    """Adds IMAGE, what `image_files` takes."""
    command.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="image files, folders and patterns such as 'photos/*.jpg'; - reads an image file from "
        "standard input",
    )


def image_files(texts: Sequence[str]) -> list[Path | EncodedImage]:
    """Lists the images that a command was given, in order.

    Args:
        texts: Paths of files and folders, patterns in the form of a shell's, where ** stands for
            any folders, and at most once "-" for standard input.

    Raises:
        InputError: One of them does not exist, or a folder holds no images.
    """
    if texts.count(STANDARD_INPUT) > 1:
        raise InputError("- can be given once: standard input holds one image. Received: - twice")
    files: list[Path | EncodedImage] = []
    for text in texts:
        if text == STANDARD_INPUT:
            files.append(EncodedImage(sys.stdin.buffer.read(), "stdin"))
            continue
        for path in _matches(text):
            files += images_in(path, print_note) if path.is_dir() else [path]
    return files


def _matches(text: str) -> list[Path]:
    """What a path or a pattern stands for; a file of that name takes precedence."""
    if Path(text).exists():
        return [Path(text)]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - it may be absolute
    if not found:
        raise InputError(f"{text} must be an image file or a folder. Received: no such file")
    return [Path(name) for name in found]


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Returns rows as CSV, with a header.

    Args:
        rows: {column: value}, with the same columns each.
    """
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({k: printable(v) if isinstance(v, str) else v for k, v in row.items()})
    return text.getvalue().rstrip("\n")


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
