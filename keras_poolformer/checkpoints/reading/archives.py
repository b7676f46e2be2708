"""The two containers that `torch.save` writes: a zip archive, and before 1.6 a series of pickles.

Opening one reads only the description of the tensors; `read_tensors` then fetches the selected
ones, because most of a training checkpoint is optimizer state.
"""

import io
import math
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_poolformer.checkpoints.reading.file_formats import reject_archive
from keras_poolformer.checkpoints.reading.pickles import MAX_PICKLE_BYTES, PickleReader, load_pickle
from keras_poolformer.checkpoints.reading.standins import (
    DTYPES,
    Storage,
    StoredTensor,
    is_dict,
    is_list,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.zip_files import open_zip_file, zip_errors_named

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# Strided and bfloat16 tensors are copied. A file can describe the same few bytes as a huge tensor
# (stride 0) or name them thousands of times, so the copies are limited by the file's size.
COPIES_PER_BYTE = 2
COPY_ALLOWANCE = 64 * 2**20  # bytes
# Of a zip archive; an entry takes some 70 bytes, and becomes an object of several hundred.
MAX_DIRECTORY_BYTES = 8 * 2**20
_AGAIN = "; download or save it again"


@dataclass(frozen=True)
class Container:
    """An opened checkpoint.

    Args:
        path: Path of the file.
        size: Length of the file in bytes.
        loaded: Unpickled object.
        read_storage: Function that returns the bytes of a storage.
        big_endian: Whether the bytes of numbers are in big-endian order.
    """

    path: Path
    size: int
    loaded: Any
    read_storage: Callable[[Storage], bytes]
    big_endian: bool = False

    def corrupt(self, problem: str) -> InputError:
        """Returns the error that names a problem of the file."""
        return InputError(f"{self.path} is corrupt: {problem}")

    @property
    def copy_limit(self) -> int:
        """Bytes that all copies of tensors may take."""
        return COPIES_PER_BYTE * self.size + COPY_ALLOWANCE


def open_zip(file: BinaryIO, path: Path, size: int) -> Container:
    """Opens what `torch.save` writes since PyTorch 1.6.

    Args:
        file: File, open for reading; it must stay open while tensors are read.
        path: Path of the file, for messages.
        size: Length of the file in bytes.

    Raises:
        InputError: The archive is corrupt, compressed, or not a checkpoint.
    """
    with zip_errors_named(f"{path} is corrupt", _AGAIN):
        archive = open_zip_file(file, MAX_DIRECTORY_BYTES)
    entries = _checked_entries(archive, size, path)
    root = next(iter(entries), "").split("/")[0]
    _require_pickle(entries, root, path)

    def read_part(name: str, limit: int) -> bytes:
        entry = entries.get(f"{root}/{name}")
        if entry is None or entry.file_size > limit:
            problem = "is missing" if entry is None else f"has more than {limit} bytes"
            raise InputError(f"{path} is corrupt: its part {shown(name)} {problem}")
        with zip_errors_named(f"{path} is corrupt", _AGAIN):  # read() compares the checksum
            return archive.read(entry)

    pickled = read_part("data.pkl", MAX_PICKLE_BYTES)
    loaded, _ = load_pickle(PickleReader(io.BytesIO(pickled)), path)
    # Absent before PyTorch 2.1, when only little-endian machines wrote such files.
    order = read_part("byteorder", 16) if f"{root}/byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"{path} is corrupt: its byte order is {shown(order)}")
    return Container(
        path,
        size,
        loaded,
        read_storage=lambda storage: read_part(f"data/{storage.key}", size),
        big_endian=order == b"big",
    )


def _checked_entries(archive: zipfile.ZipFile, size: int, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Returns {name: ZipInfo}, after rejecting what could unpack to more than the file holds."""
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise InputError(f"{path} is corrupt: two parts of it have the same name")
    if any(i.compress_type != zipfile.ZIP_STORED or i.flag_bits & 1 for i in infos):
        raise InputError(
            f"{path} is a compressed or encrypted archive, which torch.save never "
            "writes: save the weights again with torch.save"
        )
    if any(i.file_size != i.compress_size for i in infos) or sum(i.file_size for i in infos) > size:
        raise InputError(f"{path} is corrupt: its parts are larger than the file")
    return entries


def _require_pickle(entries: Mapping[str, zipfile.ZipInfo], root: str, path: Path) -> None:
    """Rejects an archive that holds a program, or no pickle."""
    if f"{root}/constants.pkl" in entries or any(n.startswith(f"{root}/code/") for n in entries):
        raise InputError(
            f"{path} is a TorchScript program, not a file of weights: "
            "save model.state_dict() with torch.save instead"
        )
    if f"{root}/data.pkl" not in entries:
        reject_archive(entries.keys(), path)
        raise InputError(
            f"{path} is a zip archive without data.pkl, so torch.save did not write "
            "it: give a .pth, .bin or .safetensors file"
        )


def open_legacy(file: BinaryIO, path: Path, size: int) -> Container:
    """Opens what `torch.save` wrote before PyTorch 1.6: five pickles, then the storages.

    Args:
        file: File, open for reading; it must stay open while tensors are read.
        path: Path of the file, for messages.
        size: Length of the file in bytes.

    Raises:
        InputError: The file is corrupt, or a pickle that torch.save did not write.
    """
    reader = PickleReader(file)  # one for all, so that they share one limit
    if load_pickle(reader, path)[0] != LEGACY_MAGIC_NUMBER:
        raise InputError(
            f"{path} is a pickle that torch.save did not write: "
            "save model.state_dict() with torch.save"
        )
    protocol = load_pickle(reader, path)[0]
    system = load_pickle(reader, path)[0]
    if protocol != LEGACY_PROTOCOL or not is_dict(system):
        raise InputError(f"{path} is corrupt: its header is not the one of torch.save")
    loaded, storages = load_pickle(reader, path, legacy=True)
    keys, _ = load_pickle(reader, path)
    places = _legacy_places(file, path, size, storages, keys)

    def read_storage(storage: Storage) -> bytes:
        if storage.key not in places:
            raise InputError(f"{path} is corrupt: it lacks a storage")
        place, length = places[storage.key]
        file.seek(place)
        return file.read(length)

    is_big_endian = system.get("little_endian") is False
    return Container(path, size, loaded, read_storage, is_big_endian)


def _legacy_places(
    file: BinaryIO, path: Path, size: int, storages: Mapping[str, Storage], keys: Any
) -> dict[str, tuple[int, int]]:
    """Returns {storage key: (position, bytes)}; the list in the file gives their order."""
    places: dict[str, tuple[int, int]] = {}
    if not is_list(keys) or any(type(key) is not str for key in keys):
        raise InputError(f"{path} is corrupt: it has no list of its storages")
    for key in keys:
        header = file.read(8)
        if key not in storages or key in places or len(header) != 8:
            raise InputError(f"{path} is corrupt: its list of storages is wrong")
        storage = storages[key]
        length = storage.root_numel * storage.width
        place = file.tell()
        if struct.unpack("<q", header)[0] != storage.root_numel or place + length > size:
            raise InputError(f"{path} is corrupt: a storage's length does not match its header")
        places[key] = place, length
        file.seek(place + length)
    return places


def read_tensors(
    container: Container, tensors: Mapping[str, StoredTensor]
) -> dict[str, np.ndarray]:
    """Reads tensors.

    Args:
        container: Checkpoint from `open_zip` or `open_legacy`.
        tensors: {name: description of the tensor}.

    Returns:
        {name: read-only array}; bfloat16 comes as the same values in float32. Arrays that share a
        storage in the file share memory here, unless they had to be copied.

    Raises:
        InputError: Bytes are missing or corrupt, or numpy has no such dtype.
    """
    storages: dict[str, bytes] = {}
    uses = Counter(tensor.storage.key for tensor in tensors.values())
    arrays: dict[str, np.ndarray] = {}
    copied = 0  # bytes
    for name, tensor in tensors.items():
        storage = tensor.storage
        dtype = _numpy_dtype(container, name, tensor.dtype)
        if storage.key not in storages:
            storages[storage.key] = container.read_storage(storage)
        if len(storages[storage.key]) != storage.root_numel * storage.width:
            raise container.corrupt(f"the bytes of {shown(name)} are not as many as its elements")
        view = _view(container, name, tensor, dtype, storages[storage.key])
        if tensor.dtype == "bfloat16" or container.big_endian or not view.flags.c_contiguous:
            copied += view.size * (4 if tensor.dtype == "bfloat16" else view.itemsize)
            if copied > container.copy_limit:
                raise container.corrupt(f"{shown(name)} would unfold to far more than the file")
            view = widened(view, tensor.dtype)
        arrays[name] = view
        uses[storage.key] -= 1
        if not uses[storage.key]:  # what was copied need not stay in memory as well
            del storages[storage.key]
    return arrays


def _numpy_dtype(container: Container, name: str, dtype: str) -> np.dtype:
    code = DTYPES[dtype]
    if code is None:
        raise InputError(
            f"{container.path} holds {shown(name)} as {dtype}, which cannot be read as weights: "
            "save it as float32, float16 or bfloat16"
        )
    return np.dtype(code).newbyteorder(">" if container.big_endian else "<")


def _view(
    container: Container, name: str, tensor: StoredTensor, dtype: np.dtype, data: bytes
) -> np.ndarray:
    """Returns the tensor as a view of its storage's bytes, after checking that it is inside."""
    storage = tensor.storage
    width = dtype.itemsize
    if 0 in tensor.size:
        if math.prod(n for n in tensor.size if n) > 2**31:
            raise container.corrupt(f"{shown(name)} has an impossible shape")
        return np.ndarray(tensor.size, dtype, b"")
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.size, tensor.stride, strict=True))
    if (last + 1) * width > storage.numel * storage.width:
        raise container.corrupt(f"{shown(name)} reaches beyond its storage")
    if math.prod(tensor.size) * width > container.copy_limit:
        raise container.corrupt(f"{shown(name)} would unfold to far more than the file")
    return np.ndarray(
        tensor.size,
        dtype,
        data,
        offset=storage.start * storage.width + tensor.offset * width,
        strides=[s * width for s in tensor.stride],
    )


def widened(view: np.ndarray, dtype: str) -> np.ndarray:
    """Returns a read-only contiguous copy of `view`, bfloat16 (as uint16) as the same float32."""
    if dtype == "bfloat16":
        # bfloat16 is the upper half of a float32. (In place: `<<` would make 0-d arrays scalars.)
        copy = view.astype("<u4", order="C")
        copy <<= 16
        copy = copy.view("<f4")
    else:
        copy = view.astype(view.dtype.newbyteorder("<"), order="C")
    copy.flags.writeable = False
    return copy
