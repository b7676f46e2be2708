"""The folders that this package writes, recognized by the names of their files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from keras_poolformer.support.messages import shown


@dataclass(frozen=True)
class OutputFolder:
    """A kind of folder that may be replaced as a whole, since all its files can be written again.

    Args:
        kind: Name of the kind for messages, with its article.
        files: Patterns of the files' paths in the folder, as in "variables/*.index".
        markers: Files without which a folder is not of this kind; an empty folder always is.
        folders: Subfolders that may be empty.
    """

    kind: str
    files: tuple[str, ...]
    markers: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def difference(self, folder: Path) -> str:
        """Returns how an existing folder differs from one of this kind, "" if it does not."""
        return self.difference_of(_entries(folder))

    def difference_of(self, entries: Iterable[tuple[str, str]]) -> str:
        """Does the same for a folder that is listed as (path, "file", "folder" or "link")."""
        found: set[str] = set()
        for name, kind in entries:
            parts = name.split("/")
            patterns = {"file": self._files, "folder": self._folders}.get(kind, [])
            if not any(_match(parts, pattern) for pattern in patterns):
                return f"{shown(name)} in it"
            found.add(name)
        missing = [name for name in self.markers if name not in found]
        return f"a folder without {missing[0]}" if found and missing else ""

    @property
    def _files(self) -> list[list[str]]:
        return [pattern.split("/") for pattern in self.files]

    @property
    def _folders(self) -> list[list[str]]:
        paths = [
            *(parts[:-1] for parts in self._files),
            *(name.split("/") for name in self.folders),
        ]
        return [path[:depth] for path in paths for depth in range(1, len(path) + 1)]


def _match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def _entries(folder: Path, parent: str = "") -> Iterator[tuple[str, str]]:
    """Yields (path, kind) of everything in a folder; pipes and devices count as links."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{parent}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield name, "folder"
                yield from _entries(folder / entry.name, f"{name}/")
            else:
                yield name, "file" if entry.is_file(follow_symlinks=False) else "link"
