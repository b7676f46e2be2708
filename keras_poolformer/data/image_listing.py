"""Lists the images in a folder, with a line about the files that are not."""

import os
from collections.abc import Callable
from pathlib import Path

from keras_poolformer.images.formats import image_suffixes, is_image_file
from keras_poolformer.support.errors import InputError

_SHOWN = 3  # names of files


class Skipped:
    """The files of a folder that are skipped, by reason.

    Args:
        folder: Name of the folder in notes.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = folder
        self.total = 0  # number of files that were examined
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, reason: str) -> None:
        """Records a file that is skipped."""
        self._names.setdefault(reason, []).append(name)

    def reasons(self) -> str:
        """Returns what was skipped and why, as the end of a sentence; "" for nothing."""
        parts = []
        for reason, names in self._names.items():
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            parts.append(f"{reason}: {', '.join(names[:_SHOWN])}{more}")
        return f" ({'; '.join(parts)})" if parts else ""

    def tell(self, note: Callable[[str], None] | None) -> None:
        """Calls `note` with one line, if files were skipped."""
        count = sum(map(len, self._names.values()))
        if count and note:
            files = "file" if self.total == 1 else "files"
            note(f"{self.folder}: skipped {count:,} of {self.total:,} {files}{self.reasons()}")


def list_images(folder: str | os.PathLike[str], skipped: Skipped) -> list[Path]:
    """Lists the images in a folder by name; hidden files and folders are ignored.

    Args:
        folder: Folder to list.
        skipped: Record of the files that are not images.

    Returns:
        Sorted paths. A dangling link counts as an image if its suffix is that of one.
    """
    suffixes = image_suffixes()
    with os.scandir(folder) as entries:
        # Folders have up to a million images: this needs no system call for each of them.
        inside = sorted(
            (entry.name, entry.is_file() or not os.path.exists(entry.path))  # noqa: PTH110
            for entry in entries
            if entry.name[0] != "." and not entry.is_dir()
        )
    skipped.total += len(inside)
    images = []
    for name, is_regular in inside:
        path = Path(folder, name)
        if not is_regular:
            skipped.add(name, "not a regular file")
        elif path.suffix.lower() in suffixes or (not path.suffix and is_image_file(path)):
            images.append(path)
        else:
            skipped.add(name, "not an image by its suffix" if path.suffix else "not an image")
    return images


def images_in(
    folder: str | os.PathLike[str],
    note: Callable[[str], None] | None = None,
    recursive: bool = False,
) -> list[Path]:
    """Lists the images in a folder.

    Args:
        folder: Folder to list.
        note: Function to call with a line about files that were skipped, or None.
        recursive: Whether subfolders are searched, too.

    Raises:
        InputError: There are no images.
    """
    skipped = Skipped(folder)
    folders = [str(folder)]
    if recursive:
        walked = []
        for path, names, _ in os.walk(folder):
            names[:] = sorted(name for name in names if not name.startswith("."))
            walked.append(path)
        folders = walked
    images = [image for path in folders for image in list_images(path, skipped)]
    if not images:
        raise InputError(f"{folder} holds no image files{skipped.reasons()}")
    skipped.tell(note)
    return sorted(images)
