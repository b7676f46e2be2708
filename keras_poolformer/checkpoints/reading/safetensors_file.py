"""Reads .safetensors files, in memory that is bounded by their size."""

import struct

import numpy as np

from keras_poolformer.checkpoints.reading.archives import widened
from keras_poolformer.checkpoints.reading.standins import DTYPES, MAX_DIMENSIONS
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.messages import shown

# Real files need some 130 bytes a tensor. Each becomes objects of several times that size.
MAX_HEADER_BYTES = 4 * 2**20
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def read_safetensors(file, path, size):
    """Reads all tensors of an open .safetensors file.

    Args:
        file: The file, open for reading at its beginning.
        path: Its name, for messages.
        size: Its length in bytes.

    Returns:
        ({name: read-only array}, {name: dtype in the file}); bfloat16 comes as the same values in
        float32.

    Raises:
        InputError: The file is corrupt, or holds what cannot be read as weights.
        MissingExtraError: safetensors is not installed.
    """
    entries = _deserialized(file, path, size)
    entries.reverse()
    tensors, dtypes = {}, {}
    while entries:  # each is let go once it is converted
        name, entry = entries.pop()
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise InputError(
                f"{path} holds {shown(name)} as {entry['dtype']}, which cannot be read as "
                "weights: save it as F32, F16 or BF16"
            )
        if len(entry["shape"]) > MAX_DIMENSIONS:
            raise InputError(
                f"{path} is damaged: {shown(name)} has {len(entry['shape'])} dimensions, of at "
                f"most {MAX_DIMENSIONS}"
            )
        array = np.frombuffer(entry["data"], DTYPES[dtype]).reshape(entry["shape"])
        array.flags.writeable = False
        tensors[name] = widened(array, dtype) if dtype == "bfloat16" else array
        dtypes[name] = dtype
    if not tensors:
        raise InputError(f"{path} holds no tensors")
    return tensors, dtypes


def _deserialized(file, path, size):
    """Returns [(name, {"dtype", "shape", "data"})] as the safetensors library reads them."""
    try:
        import safetensors
    except ImportError:
        raise MissingExtraError("safetensors", "keras") from None
    header = struct.unpack("<Q", file.read(8))[0]
    if header > size - 8:
        raise InputError(f"{path} is damaged: it ends before its header does; download it again")
    if header > MAX_HEADER_BYTES:
        raise InputError(
            f"{path} has a header of {header} bytes, of at most {MAX_HEADER_BYTES}: "
            "save the weights of one model alone"
        )
    file.seek(0)
    try:
        return safetensors.deserialize(file.read(size))
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{path} is damaged: {shown(str(error), 120)}; download it again"
        ) from None
