"""Renaming that never overwrites what another process has created in the meantime."""

import contextlib
import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100  # paths are relative to the current folder, as everywhere
_RENAME_EXCHANGE = 2
# Where the kernel, the file system or a layer of it cannot exchange two paths.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV)
# File systems without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
# Elsewhere a file replaces a file, and a folder an empty folder.
_RENAME_REFUSES_EXISTING = os.name == "nt"


def move_to_free(source: Path, path: Path) -> None:
    """Moves a file or folder to a path that does not exist.

    Raises:
        FileExistsError: The path exists.
    """
    if _RENAME_REFUSES_EXISTING:
        source.rename(path)
        return
    if source.is_dir():
        path.mkdir()  # the claim: a folder replaces an empty folder in one step
        try:
            source.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(error.errno, "File exists", str(path)) from None
            raise
        return
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.touch(exist_ok=False)  # the claim
        source.replace(path)


def swap(first: Path, second: Path) -> bool:
    """Exchanges two paths atomically; returns False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    places = os.fsencode(first), os.fsencode(second)
    if not renameat2(_AT_FDCWD, places[0], _AT_FDCWD, places[1], _RENAME_EXCHANGE):
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(second))
