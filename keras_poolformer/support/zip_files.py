"""Reads untrusted zip archives: the size of an entry is bounded before it is unpacked."""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line, shown

MAX_DIRECTORY_BYTES = 2**20  # at 46 bytes an entry, some 22,000 of them
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 2**20  # bytes
# What zipfile raises for a corrupt archive, and for features that it does not have.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    struct.error,
    zlib.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def open_zip_file(
    file: BinaryIO, max_directory_bytes: int = MAX_DIRECTORY_BYTES
) -> zipfile.ZipFile:
    """Opens a zip archive whose directory is of bounded size; use it in `zip_errors_named`.

    Args:
        file: Archive, open for reading.
        max_directory_bytes: Largest directory that is accepted.
    """
    bounded = _Bounded(file, max_directory_bytes)
    archive = zipfile.ZipFile(cast(BinaryIO, bounded))
    bounded.opening = False
    return archive


@contextlib.contextmanager
def zip_errors_named(problem: str, advice: str = "") -> Generator[None, None, None]:
    """Turns what zipfile raises for a corrupt archive into an InputError.

    Args:
        problem: Start of the message, as in "x.zip is corrupt".
        advice: End of the message, with the punctuation before it.
    """
    try:
        yield
    except InputError:
        raise
    except _ZIP_ERRORS as error:
        raise InputError(f"{problem}: {one_line(error, 120)}{advice}") from None


class ZipEntries:
    """The entries of an open zip archive.

    Args:
        file: Archive, open for reading.
        name: Name of the file for errors.
        kind: Kind of file that it should be, for errors.

    Raises:
        InputError: It is not a valid zip archive, has too many entries, or two of one name.
    """

    def __init__(self, file: BinaryIO, name: str, kind: str = "zip archive") -> None:
        self._name = name
        self._invalid = f"{name} is not a valid {kind}"
        with zip_errors_named(self._invalid):
            self._archive = open_zip_file(file)
        entries = self._archive.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise InputError(f"{self._invalid}: two entries have the same name")

    def __contains__(self, entry: str) -> bool:
        return entry in self._entries

    def read(self, entry: str, max_bytes: int) -> bytes:
        """Reads an entry.

        Args:
            entry: Name of the entry.
            max_bytes: Largest size that is accepted, whatever the archive states.

        Raises:
            InputError: There is no such entry, or it is corrupt, encrypted, too large, or
                compressed by another method than deflate.
        """
        return b"".join(self.blocks(entry, max_bytes))

    def blocks(self, entry: str, max_bytes: int) -> Iterator[bytes]:
        """Reads an entry block by block; otherwise like `read`."""
        info = self._entries.get(entry)
        if info is None:
            raise InputError(f"{self._name} has no entry {shown(entry)}")
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise InputError(
                f"{self._name}: {shown(entry)} must be stored or deflated, and not encrypted"
            )
        too_large = InputError(
            f"{self._name}: {shown(entry)} must have at most {max_bytes:,} bytes"
        )
        if info.file_size > max_bytes:
            raise too_large
        done = 0
        with zip_errors_named(self._invalid), self._archive.open(info) as file:
            while block := file.read(min(_BLOCK, max_bytes + 1 - done)):
                done += len(block)
                if done > max_bytes:
                    raise too_large
                yield block


class _Bounded:
    """A file of which zipfile reads no more at once than a directory may have.

    zipfile reads the whole directory, of whatever length the archive claims, before it can be
    asked how many entries there are.

    Args:
        file: File to read from.
        max_directory_bytes: Largest read that is accepted while the archive is being opened.
    """

    def __init__(self, file: BinaryIO, max_directory_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_directory_bytes
        self.opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if not self.opening:
            return self._file.read(size)
        limit = self._max_bytes + 1
        if size < 0:  # to the end of the file; a read of `limit` bytes would take as much memory
            position = self._file.tell()
            size = self._file.seek(0, os.SEEK_END) - position
            self._file.seek(position)
        data = self._file.read(min(size, limit))
        if len(data) == limit:
            raise zipfile.BadZipFile(f"its directory has more than {self._max_bytes:,} bytes")
        return data
