"""Reads PyTorch weights without PyTorch, and never runs code from the file."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import foreign, names
from keras_poolformer.checkpoints.reading import archives, safetensors_file, wrappers
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import shown

DIRECTORY_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MAX_ARCHITECTURE = 200  # characters
_HASH_BLOCK = 4 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one checkpoint.

    Attributes:
        tensors: {name: read-only array}, names without wrapper prefixes; float16 stays float16,
            bfloat16 becomes the same values in float32.
        dtypes: {name: dtype in the file}, e.g. "bfloat16".
        sha256: of the file; of a sharded checkpoint, over the concatenated hexadecimal digests
            of its shards in the order of their file names.
        paths: the weight files that were read.
        wrapper: the entry of the file that held the weights, e.g. "state_dict_ema"; "" for none.
        prefix: what stood before the names of the network, e.g. "backbone."; "" for nothing.
        architecture: what the file calls it (`arch`, as training scripts save it), or "".
        ignored: names of tensors outside of the network, and of entries with other weights.
    """

    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str]
    sha256: str
    paths: tuple[Path, ...]
    wrapper: str
    prefix: str = ""
    architecture: str = ""
    ignored: tuple[str, ...] = ()


def read_checkpoint(path, use_ema=True, progress=None):
    """Reads the weights out of a PyTorch checkpoint.

    Args:
        path: a .pth, .pth.tar, .bin or .safetensors file (its content decides, not its name), or
            a directory as timm or transformers save it.
        use_ema: whether averaged weights are preferred where the file has both. Without it they
            are never taken.
        progress: called as `progress(bytes_done, bytes_total)` while the files are read.

    Returns:
        A `Checkpoint`.

    Raises:
        InputError: the file is missing, damaged, holds no weights, or asks for anything else
            than weights. Nothing in it is ever run.
        MissingExtraError: it is a safetensors file and safetensors is not installed.
    """
    path = Path(path)
    files, promised = _weight_files(path)
    try:
        total = sum(file.stat().st_size for file in files)
    except OSError as error:  # gone since
        raise _unreadable(path, error) from None
    read = _ReadFiles(use_ema, progress, total)
    for file in files:
        part = read.add(file, unique=promised is not None)
        for name in (promised or {}).get(file.name, ()):
            if name not in part:
                raise InputError(
                    f"{file} lacks {shown(name)}, which the index of {path.name} promises there: "
                    "download the directory again"
                )
    digest = "".join(read.digests)
    return read.checkpoint(
        path, files, digest if promised is None else hashlib.sha256(digest.encode()).hexdigest()
    )


def _unreadable(path, error):
    return InputError(f"{path} cannot be read: {error.strerror or 'unknown reason'}")


def _is_file(path):
    """Whether a path is a regular file; what has no status, as a name of 300 letters, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _require_file(path):
    if _is_file(path):
        return
    if _status(path):
        raise InputError(f"{path} is not a regular file")
    raise InputError(f"{path} does not exist: give the path of an existing file")


def _status(path):
    """The status of a path, None if there is nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte
        return None
    except OSError as error:
        raise _unreadable(path, error) from None


def _weight_files(path):
    """Returns the files to read and, for shards, {file name: tensors} as the index promises."""
    status = _status(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        _require_file(path)
        return [path], None
    for name in DIRECTORY_FILES:
        if _is_file(path / name):
            if name.endswith(".json"):
                return _shards(path / name)
            return [path / name], None
    foreign.refuse_directory(path)
    raise InputError(
        f"{path} is a directory without weights: looked for {', '.join(DIRECTORY_FILES)}"
    )


def _shards(index):
    promised = read_json(index).get("weight_map")
    if type(promised) is not dict or not promised:
        raise InputError(f"{index} has no weight_map that names the shards")
    shards: dict[str, list[str]] = {}
    for tensor, shard in promised.items():
        if type(shard) is not str or shard in ("", ".", "..") or set(shard) & set("/\\\0:"):
            raise InputError(
                f"{index} names the shard {shown(shard)}: a shard must be a file directly in the "
                "same directory"
            )
        shards.setdefault(shard, []).append(tensor)
    if missing := next((shard for shard in shards if not _is_file(index.parent / shard)), None):
        raise InputError(
            f"{index} names the shard {shown(missing)}, which is missing: "
            "download the whole directory"
        )
    return [index.parent / shard for shard in sorted(shards)], shards


@dataclass
class _ReadFiles:
    """What was read of the files of one checkpoint, with the names in the files."""

    use_ema: bool
    progress: Callable[[int, int], Any] | None
    total: int  # bytes of all files
    done: int = 0

    def __post_init__(self):
        self.tensors: dict[str, np.ndarray] = {}
        self.dtypes: dict[str, str] = {}
        self.digests: list[str] = []
        self.wrapper: str = ""
        self.architecture: str = ""
        self.others: tuple[str, ...] = ()

    def add(self, path, unique):
        """Reads one more file; returns its tensors.

        Raises:
            InputError: The file cannot be read, or, if names must be `unique`, has one again.
        """
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                self.digests.append(self._digest(file, before.st_size))
                tensors, dtypes = self._read(file, path, before.st_size)
                after = os.fstat(file.fileno())
        except OSError as error:
            raise _unreadable(path, error) from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError(f"{path} changed while it was read: try again")
        if unique and (twice := next(iter(tensors.keys() & self.tensors.keys()), None)):
            raise InputError(f"{path} holds {shown(twice)}, as another shard does")
        self.tensors |= tensors
        self.dtypes |= dtypes
        return tensors

    def checkpoint(self, path, files, sha256):
        """Returns the `Checkpoint`, with the names of the one network in the files."""
        shapes = {name: array.shape for name, array in self.tensors.items()}
        unwrapped = names.unwrapped_names(shapes, path)
        prefix = wrappers.choose_network(unwrapped.values(), self.use_ema, path)
        known = names.model_names(set(unwrapped.values()), prefix)
        kept = {old: known[bare] for old, bare in unwrapped.items() if bare in known}
        return Checkpoint(
            tensors={name: self.tensors[old] for old, name in kept.items()},
            dtypes={name: self.dtypes[old] for old, name in kept.items()},
            sha256=sha256,
            paths=tuple(files),
            wrapper=self.wrapper,
            prefix=prefix,
            architecture=self.architecture,
            ignored=(*self.others, *sorted(self.tensors.keys() - kept.keys())),
        )

    def _digest(self, file, size):
        """Returns the SHA-256 of the open file, reporting the bytes as they are read."""
        digest = hashlib.sha256()
        for start in range(0, size, _HASH_BLOCK):  # no further: a file can grow for ever
            block = file.read(min(_HASH_BLOCK, size - start))
            digest.update(block)
            self.done += len(block)
            if self.progress is not None:
                self.progress(self.done, self.total)
        file.seek(0)
        return digest.hexdigest()

    def _read(self, file, path, size):
        """Returns (tensors, dtypes) of one open file."""
        head = file.read(512)
        file.seek(0)
        if head[8:9] == b"{":
            return safetensors_file.read_safetensors(file, path, size)
        container = _container_format(head, path)(file, path, size)
        wrapper, stored, others = wrappers.find_weights(container.loaded, self.use_ema, path)
        self.wrapper, self.others = wrapper, (*self.others, *others)
        named = container.loaded.get("arch")
        self.architecture = named[:_MAX_ARCHITECTURE] if isinstance(named, str) else ""
        tensors = archives.read_tensors(container, stored)
        return tensors, {name: tensor.dtype for name, tensor in stored.items()}


def _container_format(head, path):
    """Returns the function that opens a file which begins with `head`, or says what it is."""
    if head.startswith(b"PK\x03\x04"):
        return archives.open_zip
    if head.startswith(b"\x80"):
        return archives.open_legacy
    wanted = "give a file that torch.save or safetensors wrote"
    if not head:
        raise InputError(f"{path} is empty: {wanted}")
    foreign.refuse_file(head, path)
    raise InputError(f"{path} is no checkpoint: it begins with {shown(head[:24])}; {wanted}")
