"""Reads .safetensors files, in memory that is bounded by their size."""

import importlib
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_poolformer.checkpoints.reading.archives import widened
from keras_poolformer.checkpoints.reading.standins import DTYPES, MAX_DIMENSIONS
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.messages import one_line, shown

# Real files need some 130 bytes a tensor. Each becomes objects of several times that size.
MAX_HEADER_BYTES = 4 * 2**20
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(
    file: BinaryIO, path: Path, size: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads all tensors of an open .safetensors file.

    Args:
        file: File, open for reading at its beginning.
        path: Path of the file, for messages.
        size: Length of the file in bytes.

    Returns:
        ({name: read-only array}, {name: dtype in the file}); bfloat16 comes as the same values in
        float32.

    Raises:
        InputError: The file is corrupt, or holds tensors that cannot be read as weights.
        MissingExtraError: safetensors is not installed.
    """
    entries = _deserialized(file, path, size)
    entries.reverse()
    tensors: dict[str, np.ndarray] = {}
    dtypes: dict[str, str] = {}
    while entries:  # each is freed once it is converted
        name, entry = entries.pop()
        tensors[name], dtypes[name] = _converted(name, entry, path)
    if not tensors:
        raise InputError(f"{path} holds no tensors")
    return tensors, dtypes


def _converted(name: str, entry: dict[str, Any], path: Path) -> tuple[np.ndarray, str]:
    """Returns (read-only array, dtype in the file) of one tensor."""
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise InputError(
            f"{path} holds {shown(name)} as {entry['dtype']}, which cannot be read as "
            "weights: save it as F32, F16 or BF16"
        )
    if len(entry["shape"]) > MAX_DIMENSIONS:
        raise InputError(
            f"{path} is corrupt: {shown(name)} has {len(entry['shape'])} dimensions, the limit is "
            f"{MAX_DIMENSIONS}"
        )
    array = np.frombuffer(entry["data"], DTYPES[dtype]).reshape(entry["shape"])
    array.flags.writeable = False
    return widened(array, dtype) if dtype == "bfloat16" else array, dtype


def _deserialized(file: BinaryIO, path: Path, size: int) -> list[tuple[str, dict[str, Any]]]:
    """Returns [(name, {"dtype", "shape", "data"})] as the safetensors library reads them."""
    try:
        safetensors: Any = importlib.import_module("safetensors")  # it has no usable types
    except ImportError:
        raise MissingExtraError("safetensors", "keras") from None
    header = struct.unpack("<Q", file.read(8))[0]
    if header > size - 8:
        raise InputError(f"{path} is corrupt: it ends before its header does; download it again")
    if header > MAX_HEADER_BYTES:
        raise InputError(
            f"{path} has a header of {header} bytes, the limit is {MAX_HEADER_BYTES}: "
            "save only the weights of one model"
        )
    file.seek(0)
    try:
        return safetensors.deserialize(file.read(size))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is corrupt: {one_line(error, 120)}; download it again") from None
