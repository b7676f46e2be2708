"""The two containers that `torch.save` writes: a zip archive, and a row of pickles before 1.6.

Opening one reads only the description of the tensors; `read_tensors` then fetches the wanted
ones, because most of a training checkpoint is optimizer state.
"""

import contextlib
import io
import math
import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import foreign
from keras_poolformer.checkpoints.reading.pickles import MAX_PICKLE_BYTES, PickleReader, load_pickle
from keras_poolformer.checkpoints.reading.standins import DTYPES, Storage
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# Strided and bfloat16 tensors are copied. A file can describe the same few bytes as a huge tensor
# (stride 0) or name them thousands of times, so the copies are limited by the file's size.
COPIES_PER_BYTE = 2
COPY_ALLOWANCE = 64 * 2**20
# Of a zip archive; an entry takes some 70 bytes, and becomes an object of several hundred.
MAX_DIRECTORY_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Container:
    """An opened checkpoint: what was pickled, and how to get the bytes of its storages."""

    path: Any
    size: int
    loaded: Any
    read_storage: Callable[[Storage], bytes]
    big_endian: bool = False

    def damaged(self, problem):
        """Returns the error that says so."""
        return InputError(f"{self.path} is damaged: {problem}")


@contextlib.contextmanager
def _named_damage(path):
    """Turns whatever zipfile raises over a broken archive into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (
        *(zipfile.BadZipFile, EOFError, ValueError, LookupError, OverflowError, struct.error),
        *(NotImplementedError, RuntimeError, OSError),
    ) as error:
        raise InputError(
            f"{path} is damaged: {shown(str(error), 120)}; download or save it again"
        ) from None


class _DirectoryFile:
    """A file whose zip directory is refused where it is longer than any checkpoint's."""

    def __init__(self, file, path):
        self._file, self._path = file, path
        self.is_opened = False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count=-1):
        if not self.is_opened and count > MAX_DIRECTORY_BYTES:
            raise InputError(
                f"{self._path} is an archive with a directory of {count} bytes, of at most "
                f"{MAX_DIRECTORY_BYTES}: save the weights of one model alone"
            )
        return self._file.read(count)


def _open_archive(file, path):
    """Returns the `ZipFile` of an open file, its directory read."""
    opening = _DirectoryFile(file, path)
    with _named_damage(path):
        archive = zipfile.ZipFile(opening)  # pyright: ignore[reportArgumentType]
    opening.is_opened = True
    return archive


def _checked_entries(archive, size, path):
    """Returns {name: ZipInfo}, after refusing what could unpack to more than the file holds."""
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise InputError(f"{path} is damaged: two parts of it have the same name")
    if any(i.compress_type != zipfile.ZIP_STORED or i.flag_bits & 1 for i in infos):
        raise InputError(
            f"{path} is a compressed or encrypted archive, which torch.save never "
            "writes: save the weights again with torch.save"
        )
    if any(i.file_size != i.compress_size for i in infos) or sum(i.file_size for i in infos) > size:
        raise InputError(f"{path} is damaged: its parts are larger than the file")
    return entries


def open_zip(file, path, size):
    """Opens what `torch.save` writes since PyTorch 1.6.

    Args:
        file: the file, open for reading; it must stay open while tensors are read.
        path: its name, for messages.
        size: its length in bytes.

    Returns:
        A `Container`.

    Raises:
        InputError: the archive is damaged, compressed, or no checkpoint.
    """
    archive = _open_archive(file, path)
    entries = _checked_entries(archive, size, path)
    root = next(iter(entries), "").split("/")[0]
    if f"{root}/constants.pkl" in entries or any(n.startswith(f"{root}/code/") for n in entries):
        raise InputError(
            f"{path} is a TorchScript program, not a file of weights: "
            "save model.state_dict() with torch.save instead"
        )
    if f"{root}/data.pkl" not in entries:
        foreign.refuse_archive(entries.keys(), path)
        raise InputError(
            f"{path} is a zip archive without data.pkl, so torch.save did not write "
            "it: give a .pth, .bin or .safetensors file"
        )

    def read_part(name, limit):
        entry = entries.get(f"{root}/{name}")
        if entry is None or entry.file_size > limit:
            problem = "is missing" if entry is None else f"has more than {limit} bytes"
            raise InputError(f"{path} is damaged: its part {shown(name)} {problem}")
        with _named_damage(path):  # read() compares the checksum
            return archive.read(entry)

    pickled = read_part("data.pkl", MAX_PICKLE_BYTES)
    loaded, _ = load_pickle(PickleReader(io.BytesIO(pickled)), path)
    # Absent before PyTorch 2.1, when only little-endian machines wrote such files.
    order = read_part("byteorder", 16) if f"{root}/byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"{path} is damaged: its byte order is {shown(order)}")
    return Container(
        path, size, loaded, lambda s: read_part(f"data/{s.key}", size), order == b"big"
    )


def open_legacy(file, path, size):
    """Opens what `torch.save` wrote before PyTorch 1.6: five pickles, then the storages.

    Args, Returns: as `open_zip`.

    Raises:
        InputError: the file is damaged, or a pickle that torch.save did not write.
    """
    reader = PickleReader(file)  # one for all, so that they share one limit
    if load_pickle(reader, path)[0] != LEGACY_MAGIC_NUMBER:
        raise InputError(
            f"{path} is a pickle that torch.save did not write: "
            "save model.state_dict() with torch.save"
        )
    protocol, system = load_pickle(reader, path)[0], load_pickle(reader, path)[0]
    if protocol != LEGACY_PROTOCOL or type(system) is not dict:
        raise InputError(f"{path} is damaged: its header is not the one of torch.save")
    loaded, storages = load_pickle(reader, path, legacy=True)
    keys, _ = load_pickle(reader, path)
    places = _legacy_places(file, path, size, storages, keys)

    def read_storage(storage):
        if storage.key not in places:
            raise InputError(f"{path} is damaged: it lacks a storage")
        place, length = places[storage.key]
        file.seek(place)
        return file.read(length)

    return Container(path, size, loaded, read_storage, system.get("little_endian") is False)


def _legacy_places(file, path, size, storages, keys):
    """Returns {storage key: (position, bytes)}; the list in the file says their order."""
    places = {}
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise InputError(f"{path} is damaged: it has no list of its storages")
    for key in keys:
        header = file.read(8)
        if key not in storages or key in places or len(header) != 8:
            raise InputError(f"{path} is damaged: its list of storages is wrong")
        storage = storages[key]
        length, place = storage.root_numel * storage.width, file.tell()
        if struct.unpack("<q", header)[0] != storage.root_numel or place + length > size:
            raise InputError(f"{path} is damaged: a storage has not the length it says")
        places[key] = place, length
        file.seek(place + length)
    return places


def read_tensors(container, wanted):
    """Reads tensors.

    Args:
        container: from `open_zip` or `open_legacy`.
        wanted: {name: StoredTensor}.

    Returns:
        {name: read-only numpy array}; bfloat16 comes as the same values in float32. Arrays that
        share a storage in the file share memory here, unless they had to be copied.

    Raises:
        InputError: bytes are missing or damaged, or a dtype is one that numpy has not.
    """
    storages: dict[str, bytes] = {}
    uses = Counter(tensor.storage.key for tensor in wanted.values())
    arrays, copied = {}, 0
    for name, tensor in wanted.items():
        storage = tensor.storage
        if DTYPES[tensor.dtype] is None:
            raise InputError(
                f"{container.path} holds {shown(name)} as {tensor.dtype}, which cannot "
                "be read as weights: save it as float32, float16 or bfloat16"
            )
        if storage.key not in storages:
            storages[storage.key] = container.read_storage(storage)
        if len(storages[storage.key]) != storage.root_numel * storage.width:
            raise container.damaged(f"the bytes of {shown(name)} are not as many as its elements")
        view = _view(container, name, tensor, storages[storage.key])
        if tensor.dtype == "bfloat16" or container.big_endian or not view.flags.c_contiguous:
            copied += view.size * (4 if tensor.dtype == "bfloat16" else view.itemsize)
            if copied > COPIES_PER_BYTE * container.size + COPY_ALLOWANCE:
                raise container.damaged(f"{shown(name)} would unfold to far more than the file")
            view = widened(view, tensor.dtype)
        arrays[name] = view
        uses[storage.key] -= 1
        if not uses[storage.key]:  # what was copied need not stay in memory as well
            del storages[storage.key]
    return arrays


def _view(container, name, tensor, data):
    """Returns the tensor as a view of its storage's bytes, after checking that it lies inside."""
    storage = tensor.storage
    dtype = np.dtype(DTYPES[tensor.dtype]).newbyteorder(">" if container.big_endian else "<")
    width = dtype.itemsize
    if 0 in tensor.size:
        if math.prod(n for n in tensor.size if n) > 2**31:
            raise container.damaged(f"{shown(name)} has an impossible shape")
        return np.ndarray(tensor.size, dtype, b"")
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.size, tensor.stride, strict=True))
    if (last + 1) * width > storage.numel * storage.width:
        raise container.damaged(f"{shown(name)} reaches beyond its storage")
    if math.prod(tensor.size) * width > COPIES_PER_BYTE * container.size + COPY_ALLOWANCE:
        raise container.damaged(f"{shown(name)} would unfold to far more than the file")
    return np.ndarray(
        tensor.size,
        dtype,
        data,
        offset=storage.start * storage.width + tensor.offset * width,
        strides=[s * width for s in tensor.stride],
    )


def widened(view, dtype):
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
