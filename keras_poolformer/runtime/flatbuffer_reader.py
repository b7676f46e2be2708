"""Reads flatbuffers of unknown origin; no offset leads out of the file.

Our own because the library `flatbuffers` and LiteRT follow the offsets of a file unchecked. What
is read here was compared with the file's length first (https://flatbuffers.dev/internals).
"""

import struct
from dataclasses import dataclass

import numpy as np


class CorruptError(ValueError):
    """The file is not a valid flatbuffer; the message says why."""


@dataclass(frozen=True)
class Table:
    """Position of a table in the file.

    Args:
        position: First byte of the table.
        vtable: First byte of the list of the fields' offsets.
        slots: Number of fields in that list.
        size: Size of the table in bytes.
    """

    position: int
    vtable: int
    slots: int
    size: int


class FlatbufferReader:
    """Reads tables and vectors, each within the bounds of the file.

    Args:
        content: The file's bytes.

    Raises:
        CorruptError: An offset or a length leads out of the file.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    def root(self) -> Table:
        """Returns the table that contains all others."""
        return self.table(self._number("<I", 0))

    def table(self, position: int) -> Table:
        """Returns the table at a position."""
        vtable = position - self._number("<i", position)
        length, size = self._number("<H", vtable), self._number("<H", vtable + 2)
        if length < 4 or length % 2 or size < 4:
            raise CorruptError("a table is corrupt")
        self._require(vtable, length)
        self._require(position, size)
        return Table(position, vtable, length // 2 - 2, size)

    def scalar(self, table: Table, slot: int, kind: str = "i", default: int = 0) -> int:
        """Returns the number in a field; `kind` is its type in the notation of `struct`."""
        offset = self._field(table, slot, struct.calcsize(f"<{kind}"))
        return self._number(f"<{kind}", table.position + offset) if offset else default

    def child(self, table: Table, slot: int) -> Table | None:
        """Returns the table that a field refers to, None where the field is absent."""
        position = self._referred(table, slot)
        return None if position is None else self.table(position)

    def children(self, table: Table, slot: int) -> list[Table]:
        """Returns the tables of a vector."""
        start, count = self._vector(table, slot, 4)
        return [
            self.table(position + self._number("<I", position))
            for position in range(start, start + 4 * count, 4)
        ]

    def numbers(self, table: Table, slot: int, dtype: str = "<i4") -> np.ndarray:
        """Returns the numbers of a vector, [] where the field is absent."""
        start, count = self._vector(table, slot, np.dtype(dtype).itemsize)
        return np.frombuffer(self.content, dtype, count, start)

    def text(self, table: Table, slot: int) -> str:
        """Returns the string that a field refers to, "" where the field is absent."""
        start, count = self._vector(table, slot, 1)
        self._require(start, count + 1)  # with the zero byte behind it
        return self.content[start : start + count].decode()

    def _vector(self, table: Table, slot: int, item_size: int) -> tuple[int, int]:
        """(Position of the first item, number of items) of a vector; (0, 0) if it is absent."""
        position = self._referred(table, slot)
        if position is None:
            return 0, 0
        count = self._number("<I", position)
        self._require(position + 4, count * item_size)
        return position + 4, count

    def _referred(self, table: Table, slot: int) -> int | None:
        offset = self._field(table, slot, 4)
        if not offset:
            return None
        position = table.position + offset
        return position + self._number("<I", position)

    def _field(self, table: Table, slot: int, size: int) -> int:
        """Offset of a field within its table, 0 if it is absent."""
        if slot >= table.slots:
            return 0
        offset = self._number("<H", table.vtable + 4 + 2 * slot)
        if offset and not 4 <= offset <= table.size - size:
            raise CorruptError("a field is outside of its table")
        return offset

    def _number(self, kind: str, position: int) -> int:
        self._require(position, struct.calcsize(kind))
        return struct.unpack_from(kind, self.content, position)[0]

    def _require(self, start: int, count: int) -> None:
        if start < 0 or start + count > len(self.content):
            raise CorruptError("an offset leads out of the file")
