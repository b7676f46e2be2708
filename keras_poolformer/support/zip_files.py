"""Zip archives that nobody has checked: what an entry unpacks to is bounded before it is read."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line, shown

_MAX_DIRECTORY_BYTES = 2**20  # at 46 bytes an entry, some 22,000 of them
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 2**20
# What zipfile raises over a damaged archive, and over features that it does not have.
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


class ZipEntries:
    """The entries of an open zip archive.

    Args:
        file: The archive, open for reading.
        name: What errors call it.
        kind: What the file should be, for errors.

    Raises:
        InputError: It is not a valid zip archive, has too many entries, or two of one name.
    """

    def __init__(self, file: BinaryIO, name: str, kind: str = "zip archive") -> None:
        self._name, self._kind = name, kind
        with self._one_line_errors():
            bounded = _Bounded(file)
            self._archive = zipfile.ZipFile(cast(BinaryIO, bounded))
            bounded.opening = False
        entries = self._archive.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise InputError(f"{name} is not a valid {kind}: two entries have the same name")

    def __contains__(self, entry: str) -> bool:
        return entry in self._entries

    def read(self, entry: str, max_bytes: int) -> bytes:
        """Reads an entry.

        Args:
            entry: Name of the entry.
            max_bytes: Largest size that is accepted, whatever the archive says of it.

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
        with self._one_line_errors(), self._archive.open(info) as file:
            while block := file.read(min(_BLOCK, max_bytes + 1 - done)):
                done += len(block)
                if done > max_bytes:
                    raise too_large
                yield block

    @contextlib.contextmanager
    def _one_line_errors(self):
        try:
            yield
        except InputError:
            raise
        except _ZIP_ERRORS as error:
            raise InputError(
                f"{self._name} is not a valid {self._kind}: {one_line(error, 120)}"
            ) from None


class _Bounded:
    """A file of which zipfile reads no more at once than a directory may have.

    zipfile reads the whole directory, of whatever length the archive claims, before it can be
    asked how many entries there are.
    """

    def __init__(self, file):
        self._file = file
        self.opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size=-1):
        if not self.opening:
            return self._file.read(size)
        most = _MAX_DIRECTORY_BYTES
        data = self._file.read(most + 1 if size < 0 else min(size, most + 1))
        if len(data) > most:
            raise zipfile.BadZipFile(f"its directory has more than {most:,} bytes")
        return data
