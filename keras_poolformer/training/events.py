"""Truncates TensorBoard's event files to the step that a run is resumed from."""

import struct
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from google.protobuf.message import DecodeError

_HEADER, _FOOTER = 12, 4  # bytes around a record: its length and checksums


def cut_events(folder: Path, last_step: int) -> None:
    """Truncates event files where they go beyond a step, or are corrupt.

    Args:
        folder: Folder of event files; it may be missing.
        last_step: Last step to keep.
    """
    for path in sorted(folder.glob("events.out.tfevents.*")):
        if path.is_file():
            with path.open("r+b") as file:
                file.truncate(_end(file, last_step, path.stat().st_size))


def _end(file: BinaryIO, last_step: int, size: int) -> int:
    """Position of the first event to remove."""
    start = 0
    while start + _HEADER + _FOOTER < size:
        (length,) = struct.unpack("<Q4x", file.read(_HEADER))
        end = start + _HEADER + length + _FOOTER
        if length == 0 or end > size:  # zeros after a power cut; cut short
            return start
        try:
            event = tf.compat.v1.Event.FromString(file.read(length))
        except DecodeError:
            return start
        if event.step > last_step:
            return start
        file.seek(end)
        start = end
    return start
