"""Locks on open files, which the system releases when their process ends, in whatever way."""

import errno
import importlib
import os
from typing import Any

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

# Windows lets nobody read a locked byte: this one is beyond what such a file holds.
_LOCKED_BYTE = 2**30
_BUSY: type[OSError] = PermissionError if fcntl is None else BlockingIOError
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file until its descriptor is closed, without waiting for others.

    Args:
        descriptor: Descriptor of a file that is open for writing; its position may change.

    Returns:
        True if the lock is now ours, False if another descriptor holds it, None where the file
        system has no locks, as some that are mounted over a network.

    Raises:
        OSError: The file cannot be locked for another reason.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt: Any = importlib.import_module("msvcrt")
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except _BUSY:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return None
    return True
