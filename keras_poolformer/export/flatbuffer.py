"""Writes flatbuffer tables from the names of their fields.

Our own because the library that writes TFLite metadata, in the package mediapipe, brings OpenCV,
Matplotlib and sounddevice with it; `flatbuffers` itself only writes fields by number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

ALIGNMENT = 16  # bytes, of constants and of nested flatbuffers, as the schemas require


@dataclass(frozen=True)
class Table:
    """A table to write.

    Args:
        fields: Names of all fields, in the order of the schema. A union has two: its type and
            its table.
        values: Value of each field: a string, a `Table`, a list of either, a numpy array, bytes
            (at a multiple of 16), or a numpy scalar of the field's type. None and absent fields
            are left out.
    """

    fields: tuple[str, ...]
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = self.values.keys() - set(self.fields)
        if unknown:
            raise ValueError(f"fields must be some of {self.fields}. Received: {sorted(unknown)}")


def to_bytes(table: Table, identifier: bytes) -> bytes:
    """Returns a flatbuffer whose root is a table.

    Args:
        table: Root table.
        identifier: Four bytes that mark files of the schema.
    """
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), file_identifier=identifier)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a value and all that it refers to; returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, bytes):
        return write_bytes(builder, value)
    if isinstance(value, list):
        offsets = [_write(builder, entry) for entry in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    return _write_table(builder, value)


def write_bytes(builder: flatbuffers.Builder, data: bytes) -> int:
    """Writes a vector of bytes that is aligned; `CreateByteVector` does not. Returns its offset."""
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return builder.EndVector()


def _write_table(builder: flatbuffers.Builder, table: Table) -> int:
    present = {name: value for name, value in table.values.items() if value is not None}
    # What a table refers to is written before it: flatbuffers grow from their end.
    offsets = {
        name: _write(builder, value)
        for name, value in present.items()
        if not isinstance(value, np.generic)
    }
    builder.StartObject(len(table.fields))
    for slot, name in enumerate(table.fields):
        if name in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[name], 0)
        elif name in present:
            _write_scalar(builder, slot, present[name])
    return builder.EndObject()


def _write_scalar(builder: flatbuffers.Builder, slot: int, value: np.generic) -> None:
    writers = {
        np.int8: builder.PrependInt8Slot,
        np.uint8: builder.PrependUint8Slot,
        np.uint32: builder.PrependUint32Slot,
    }
    writers[type(value)](slot, value.item(), 0)
