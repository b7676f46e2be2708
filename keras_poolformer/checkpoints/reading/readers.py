"""Reads the tensors of PyTorch files without PyTorch, and never runs code from a file."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_poolformer.checkpoints.reading import archives, safetensors_file
from keras_poolformer.checkpoints.reading.archives import Container
from keras_poolformer.checkpoints.reading.file_formats import reject_file
from keras_poolformer.checkpoints.reading.standins import StoredTensor
from keras_poolformer.checkpoints.reading.weight_files import find_weight_files
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import open_regular

_HASH_BLOCK = 4 * 2**20  # bytes
_HEAD = 512  # bytes that formats are recognized by

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class Selection:
    """The tensors of a pickled file that are to be read, and where they were found.

    Args:
        tensors: {name: description of the tensor}.
        entry: Place of their dictionary in the file, as in "state_dict"; "" for the top level.
        unused: Places of other dictionaries of weights, which are not read.
        architecture: Name of the architecture that the file states, "" for none.
        labels: What the file says are the names of the classes, unchecked, or None.
        palette: What it says are their colors, unchecked, or None.
    """

    tensors: dict[str, StoredTensor]
    entry: str = ""
    unused: tuple[str, ...] = ()
    architecture: str = ""
    labels: Any = None
    palette: Any = None


@dataclass(frozen=True)
class FileContents:
    """What was read from the files of one checkpoint, under the names in the files.

    Args:
        tensors: {name: read-only array}; float16 stays float16, bfloat16 becomes the same values
            in float32.
        dtypes: {name: dtype in the file}, as in "bfloat16".
        sha256: Checksum of the file; of a sharded checkpoint, over the concatenated hexadecimal
            digests of its shards in the order of their file names.
        paths: Paths of the files.
        selections: What was selected in each pickled file.
    """

    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str]
    sha256: str
    paths: tuple[Path, ...]
    selections: tuple[Selection, ...]


def read_files(
    path: Path, select: Callable[[Any, Path], Selection], progress: Progress | None = None
) -> FileContents:
    """Reads the weight files of a path.

    Args:
        path: Path of a file (its content decides, not its name), or of a directory as timm or
            transformers save it.
        select: Function of (unpickled object, path) that chooses the tensors of a pickled file.
            Those of other files are all read.
        progress: Function to call with (bytes done, bytes in total) while files are read.

    Raises:
        InputError: A file is missing, corrupt, of another format, or asks for anything else than
            weights.
        MissingExtraError: It is a safetensors file and safetensors is not installed.
    """
    files = find_weight_files(path)
    reading = _Reading(select, progress, sum(map(_size, files.paths)))
    for file in files.paths:
        names = reading.add(file)
        for name in files.index.get(file.name, ()):
            if name not in names:
                raise InputError(
                    f"{file} lacks {shown(name)}, which the index of {path.name} promises there: "
                    "download the directory again"
                )
    digest = "".join(reading.digests)
    return FileContents(
        tensors=reading.tensors,
        dtypes=reading.dtypes,
        sha256=hashlib.sha256(digest.encode()).hexdigest() if files.index else digest,
        paths=files.paths,
        selections=tuple(reading.selections),
    )


def _size(path: Path) -> int:
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


class _Reading:
    """What was read so far.

    Args:
        select: Function that chooses the tensors of a pickled file.
        progress: Function to call with (bytes done, bytes in total), or None.
        total: Bytes of all files.
    """

    def __init__(
        self,
        select: Callable[[Any, Path], Selection],
        progress: Progress | None,
        total: int,
    ) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self.dtypes: dict[str, str] = {}
        self.digests: list[str] = []
        self.selections: list[Selection] = []
        self._select = select
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, path: Path) -> Iterable[str]:
        """Reads one more file; returns the names of its tensors.

        Raises:
            InputError: The file cannot be read, or repeats a tensor of another one.
        """
        with open_regular(path) as file:
            try:
                before = os.fstat(file.fileno())
                self.digests.append(self._digest(file, before.st_size))
                tensors, dtypes = self._read(file, path, before.st_size)
                after = os.fstat(file.fileno())
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError(f"{path} changed while it was read: try again")
        if twice := next(iter(tensors.keys() & self.tensors.keys()), None):
            raise InputError(f"{path} holds {shown(twice)}, as another shard does")
        self.tensors |= tensors
        self.dtypes |= dtypes
        return tensors.keys()

    def _digest(self, file: BinaryIO, size: int) -> str:
        """Returns the SHA-256 of the open file, reporting the bytes as they are read."""
        digest = hashlib.sha256()
        for start in range(0, size, _HASH_BLOCK):  # no further: a file can grow forever
            block = file.read(min(_HASH_BLOCK, size - start))
            digest.update(block)
            self._done += len(block)
            if self._progress is not None:
                self._progress(self._done, self._total)
        file.seek(0)
        return digest.hexdigest()

    def _read(
        self, file: BinaryIO, path: Path, size: int
    ) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Returns (tensors, dtypes) of one open file."""
        head = file.read(_HEAD)
        file.seek(0)
        if head[8:9] == b"{":
            return safetensors_file.read_safetensors(file, path, size)
        container = _container_format(head, path)(file, path, size)
        selection = self._select(container.loaded, path)
        self.selections.append(selection)
        tensors = archives.read_tensors(container, selection.tensors)
        return tensors, {name: tensor.dtype for name, tensor in selection.tensors.items()}


def _container_format(head: bytes, path: Path) -> Callable[[BinaryIO, Path, int], Container]:
    """Returns the function that opens a file with these first bytes, or rejects the file."""
    if head.startswith(b"PK\x03\x04"):
        return archives.open_zip
    if head.startswith(b"\x80"):
        return archives.open_legacy
    expected = "give a file that torch.save or safetensors wrote"
    if not head:
        raise InputError(f"{path} is empty: {expected}")
    reject_file(head, path)
    raise InputError(f"{path} is not a checkpoint: it begins with {shown(head[:24])}; {expected}")
