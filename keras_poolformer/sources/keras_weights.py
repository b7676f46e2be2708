"""The weights of a .keras file: in HDF5, which is compared with the description beforehand.

HDF5 can claim gigabytes in a few bytes: by data sets that were never written, by compression,
and by data sets that are put together from other files. Keras writes none of these, so none
is accepted, and what remains takes as many bytes in the file as in memory.
"""

import collections
import contextlib
import io
import math
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from keras_poolformer.checkpoints.tensors import keras_tensors
from keras_poolformer.sources.keras_archive import WEIGHTS, KerasArchive, stamp_of
from keras_poolformer.sources.saved import SavedDescription, SavedWeights, WeightFiles
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import open_regular
from keras_poolformer.support.zip_files import ZipEntries

_MAX_OBJECTS = 100_000  # groups and data sets; 512 blocks with an optimizer's state have 40,000
_ALLOWANCE = 64 * 2**20  # bytes that a compressed archive may unpack to beyond twice its size
_H5_ERRORS = (AttributeError, KeyError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class ArchivedWeights(SavedWeights):
    """The weights in a .keras file.

    Args:
        description: Description in the file.
        data: Bytes of the file where their checksum was verified; else it is opened again.
    """

    description: KerasArchive
    data: bytes | None = None

    def extract(self, folder: Path) -> WeightFiles:
        """Writes the HDF5 file; see `SavedWeights.extract`."""
        path = folder / WEIGHTS
        with self._opened() as file:
            extract_weights(file, path, self.name)
        check_weights([path], self.description, self.name)
        return WeightFiles(path)

    @contextlib.contextmanager
    def _opened(self) -> Generator[BinaryIO]:
        if self.data is not None:
            yield io.BytesIO(self.data)
            return
        with open_regular(self.path) as file:
            if stamp_of(file) != self.description.stamp:
                raise InputError(f"{self.path} changed while it was read: try again")
            yield file


def extract_weights(file: BinaryIO, path: str | os.PathLike[str], name: str) -> None:
    """Copies the HDF5 file out of a .keras file.

    Args:
        file: The .keras file, open for reading.
        path: Path of the HDF5 file to be written.
        name: What errors call the .keras file.

    Raises:
        InputError: The .keras file is corrupt, has no weights, or unpacks to far more than its
            size.
    """
    entries = ZipEntries(file, name, ".keras file")
    size = file.seek(0, os.SEEK_END)
    if WEIGHTS not in entries:
        raise _unreadable(name, f"it has no {WEIGHTS}")
    with Path(path).open("wb") as written:
        for block in entries.blocks(WEIGHTS, 2 * size + _ALLOWANCE):
            written.write(block)


def check_weights(paths: Sequence[Path], description: SavedDescription, name: str) -> None:
    """Compares the data sets of HDF5 files with what a model needs; reads no values.

    Args:
        paths: Paths of the HDF5 files.
        description: Description of the model.
        name: What errors call the files.

    Raises:
        InputError: A file is not valid HDF5, a data set is not stored as Keras stores it,
            or one of the shape of a weight is missing.
    """
    import h5py  # pyright: ignore[reportMissingTypeStubs]: it has none

    needed = collections.Counter(
        tensor.keras_shape
        for tensor in keras_tensors(description.config)
        if not (description.is_backbone and tensor.is_head)
    )
    found: collections.Counter[tuple[int, ...]] = collections.Counter()
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                found += _shapes(h5py, file, path.stat().st_size, name)
        except InputError:
            raise
        except _H5_ERRORS as error:
            raise _unreadable(name, error) from None
    for shape, count in needed.items():
        if found[shape] < count:
            raise _unreadable(
                name,
                f"a model of its config has {count} weights of shape {shape}. "
                f"Received: {found[shape]}",
            )


def _shapes(h5py: Any, file: Any, size: int, name: str) -> collections.Counter[tuple[int, ...]]:
    """How many data sets of each shape there are."""
    shapes: collections.Counter[tuple[int, ...]] = collections.Counter()
    places: set[int] = set()
    groups = [file]
    total = 0
    while groups:
        group = groups.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise _unreadable(name, f"{shown(key)} is a link to another place")
            entry = group[key]
            place = h5py.h5o.get_info(entry.id).addr
            if place in places or len(places) > _MAX_OBJECTS:
                raise _unreadable(name, f"{shown(key)} is one object too many")
            places.add(place)
            if isinstance(entry, h5py.Group):
                groups.append(entry)
                continue
            _check_data_set(h5py, entry, name)
            shapes[entry.shape] += 1
            total += entry.nbytes
            if total > size:
                raise _unreadable(name, f"they claim more than its {size:,} bytes")
    return shapes


def _check_data_set(h5py: Any, entry: Any, name: str) -> None:
    """Rejects what Keras does not write."""
    if not isinstance(entry, h5py.Dataset) or entry.shape is None:
        raise _unreadable(name, f"{shown(entry.name)} is not an array")
    if entry.dtype.kind not in "fiub" and (entry.dtype.kind, entry.dtype.itemsize) != ("V", 2):
        raise _unreadable(name, f"{shown(entry.name)} has the dtype {shown(entry.dtype)}")
    options = entry.id.get_create_plist()
    layout = options.get_layout()
    stored = layout in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    bytes_claimed = math.prod(entry.shape) * entry.dtype.itemsize
    if not stored or options.get_external_count() or entry.id.get_storage_size() != bytes_claimed:
        raise _unreadable(
            name,
            f"{shown(entry.name)} of shape {shown(entry.shape)} is compressed, incomplete or "
            "elsewhere, as Keras stores nothing",
        )
    attributes = list(entry.attrs)
    if attributes and (attributes != ["dtype"] or entry.attrs.get_id("dtype").shape != ()):
        raise _unreadable(name, f"{shown(entry.name)} has attributes that Keras does not write")


def _unreadable(name: str, reason: object) -> InputError:
    return InputError(f"{name}: its weights cannot be read: {reason}")
