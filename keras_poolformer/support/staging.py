"""Temporary folders next to an output, which do not outlive their process for long.

A process that is killed cannot remove its temporary folder. It holds a lock on a file in it, which
ends with the process; the next one that writes the same output removes the folders whose lock is
free.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from keras_poolformer.support.file_locks import try_lock

LOCK = "keras_poolformer.lock"
SUFFIX = ".partial"
OLD = "old"  # an output that is being replaced, for the moment in which its path is free
_MAX_NAME = 200  # bytes of the output's name in that of the folder; file systems take 255
_ATTEMPTS = 20
_READ_WRITE = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)  # a link leads elsewhere


@dataclass(frozen=True)
class Staging:
    """A temporary folder.

    Args:
        folder: Path of the folder.
        mode: Mode that the umask gives to a new file.
    """

    folder: Path
    mode: int


@contextlib.contextmanager
def staging_folder(path: Path) -> Generator[Staging, None, None]:
    """Creates a temporary folder next to an output, and removes it at the end.

    Args:
        path: Absolute path of the output.
    """
    for folder in _folders_of(path):
        _remove_abandoned(folder, path)
    folder, descriptor = _locked_folder(path)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        yield Staging(folder, mode)
    finally:
        _remove_and_close(folder, descriptor)


def is_staged(name: str, path: Path) -> bool:
    """Whether a file is in a temporary folder of an output.

    Args:
        name: Absolute path of the file, as an error has it.
        path: Absolute path of the output.
    """
    return name.startswith(f"{path.parent / _prefix(path)}")


def _prefix(path: Path) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:_MAX_NAME])}."


def _folders_of(path: Path) -> list[Path]:
    """The temporary folders of an output, of all processes."""
    prefix = _prefix(path)
    with os.scandir(path.parent) as entries:
        return [
            path.parent / entry.name
            for entry in entries
            if entry.name.startswith(prefix)
            and entry.name.endswith(SUFFIX)
            and len(entry.name) == len(prefix) + 8 + len(SUFFIX)
            and entry.is_dir(follow_symlinks=False)
        ]


def _locked_folder(path: Path) -> tuple[Path, int]:
    """(a new folder, the descriptor of the locked file in it)."""
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(SUFFIX, _prefix(path), path.parent))
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # removed as an empty one by another process
            continue
        except BaseException:
            folder.rmdir()
            raise
        if _lock(descriptor) is not False and (folder / LOCK).exists():
            return folder, descriptor
        os.close(descriptor)  # another process took it for an abandoned one, and removes it
    raise OSError(f"no temporary folder can be created in {path.parent}")


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free and is now ours; None where there are no locks."""
    try:
        return try_lock(descriptor)
    except OSError:
        return None


def _remove_abandoned(folder: Path, path: Path) -> None:
    try:
        descriptor = os.open(folder / LOCK, _READ_WRITE)
    except OSError:
        with contextlib.suppress(OSError):  # somebody else's, unless it is empty
            folder.rmdir()
        return
    if not _lock(descriptor):
        os.close(descriptor)
        return
    if (folder / OLD).exists() and not os.path.lexists(path):
        try:
            (folder / OLD).rename(path)
        except BaseException:
            os.close(descriptor)
            raise
    _remove_and_close(folder, descriptor)


def _remove_and_close(folder: Path, descriptor: int) -> None:
    """Removes a folder while its lock is held, or else after: Windows keeps files that are open."""
    _remove(folder)
    os.close(descriptor)
    _remove(folder)


def _remove(folder: Path) -> None:
    """Removes the lock last: without it the folder would not be recognized any more."""
    with contextlib.suppress(OSError):
        for entry in [entry for entry in folder.iterdir() if entry.name != LOCK]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        (folder / LOCK).unlink()
        folder.rmdir()
