"""A lock on the folders of a run, which one training at a time holds until its process ends."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.file_locks import try_lock

LOCK = "run.lock"


@contextlib.contextmanager
def locked(*folders: str | Path) -> Iterator[None]:
    """Holds a lock on each folder within the block.

    The system releases it when the process ends, in whatever way. File systems without locks,
    such as some that are mounted over a network, and addresses are used without one.

    Args:
        folders: Existing folders, or addresses, as in gs://bucket/run.

    Raises:
        InputError: Another training holds the lock of one of them.
    """
    with contextlib.ExitStack() as stack:
        for folder in dict.fromkeys(map(str, folders)):
            if "://" not in folder:
                stack.enter_context(_locked(Path(folder)))
        yield


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / LOCK
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        ours = try_lock(file)
        os.lseek(file, 0, os.SEEK_SET)
        if ours is False:
            holder = os.read(file, 300).decode(errors="replace").strip() or "another process"
            raise InputError(
                f"{folder} is in use by another training ({holder}): wait until it has ended, or "
                "use another folder"
            )
        if ours:
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(file)
