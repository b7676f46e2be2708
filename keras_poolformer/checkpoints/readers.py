"""Reads PyTorch weights without PyTorch, and never runs code from the file."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_poolformer.checkpoints import archives, wrappers
from keras_poolformer.checkpoints.standins import DTYPES, shown, shown_path
from keras_poolformer.errors import InputError, MissingExtraError
from keras_poolformer.json_files import read_json

DIRECTORY_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SAFETENSORS_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
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
    """

    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str]
    sha256: str
    paths: tuple[Path, ...]
    wrapper: str


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
    digests = _digests(files, progress)
    tensors, dtypes, wrapper = {}, {}, ""
    for file in files:
        part, part_dtypes, wrapper = _read_file(file, use_ema)
        if promised is not None and (twice := next(iter(part.keys() & tensors.keys()), None)):
            raise InputError(f"{shown_path(file)} holds {shown(twice)}, as another shard does")
        tensors |= part
        dtypes |= part_dtypes
        for name in [n for n, shard in (promised or {}).items() if shard == file.name]:
            if name not in part:
                raise InputError(
                    f"{shown_path(file)} lacks {shown(name)}, which the index of {path.name} "
                    "promises there: download the directory again"
                )
    names = wrappers.bare_names(tensors, path)
    return Checkpoint(
        tensors={new: tensors[old] for old, new in names.items()},
        dtypes={new: dtypes[old] for old, new in names.items()},
        sha256=digests[0]
        if promised is None
        else hashlib.sha256("".join(digests).encode()).hexdigest(),
        paths=tuple(files),
        wrapper=wrapper,
    )


def _unreadable(path, error):
    return InputError(f"{shown_path(path)} cannot be read: {error.strerror or 'unknown reason'}")


def _require_file(path):
    if path.is_file():
        return
    if path.exists():
        raise InputError(f"{shown_path(path)} is not a regular file")
    raise InputError(f"{shown_path(path)} does not exist: give the path of an existing file")


def _weight_files(path):
    """Returns the files to read and, for shards, {tensor: file name} as the index promises."""
    if not path.is_dir():
        _require_file(path)
        return [path], None
    for name in DIRECTORY_FILES:
        if (path / name).is_file():
            if name.endswith(".json"):
                return _shards(path / name)
            return [path / name], None
    raise InputError(
        f"{shown_path(path)} is a directory without weights: looked for "
        f"{', '.join(DIRECTORY_FILES)}"
    )


def _shards(index):
    promised = read_json(index).get("weight_map")
    if type(promised) is not dict or not promised:
        raise InputError(f"{shown_path(index)} has no weight_map that names the shards")
    for shard in promised.values():
        if type(shard) is not str or shard in ("", ".", "..") or set(shard) & set("/\\\0:"):
            raise InputError(
                f"{shown_path(index)} names the shard {shown(shard)}: a shard must be a file "
                "directly in the same directory"
            )
        if not (index.parent / shard).is_file():
            raise InputError(
                f"{shown_path(index)} names the shard {shown(shard)}, which is missing: "
                "download the whole directory"
            )
    return [index.parent / shard for shard in sorted(set(promised.values()))], promised


def _digests(files, progress):
    """Returns the SHA-256 of each file, reporting the bytes as they are read."""
    digests, done = [], 0
    try:
        total = sum(file.stat().st_size for file in files)
        for path in files:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                for block in iter(functools.partial(file.read, _HASH_BLOCK), b""):
                    digest.update(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, total)
            digests.append(digest.hexdigest())
    except OSError as error:
        raise _unreadable(Path(error.filename or files[0]), error) from None
    return digests


def _read_file(path, use_ema):
    """Returns (tensors, dtypes, wrapper) of one file, with the names it has there."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            if head[8:9] == b"{":
                return *_read_safetensors(file.read(), path), ""
            open_container = _container_format(head, path)
            container = open_container(file, path, size)
            wrapper, stored = wrappers.unwrapped(container.loaded, use_ema, path)
            tensors = archives.read_tensors(container, stored)
            return tensors, {name: tensor.dtype for name, tensor in stored.items()}, wrapper
    except OSError as error:
        raise _unreadable(path, error) from None


def _container_format(head, path):
    """Returns the function that opens a file which begins with `head`, or says what it is."""
    if head.startswith(b"PK\x03\x04"):
        return archives.open_zip
    if head.startswith(b"\x80"):
        return archives.open_legacy
    wanted = "give a file that torch.save or safetensors wrote"
    if not head:
        problem = f"is empty: {wanted}"
    elif head.startswith(b"version https://git-lfs"):
        problem = "is a Git LFS pointer, not the file itself: run `git lfs pull` to fetch it"
    elif head[257:262] == b"ustar":
        problem = (
            "is a tar archive, as PyTorch 0.1 wrote them or around other files: unpack it, or "
            "save the weights again with torch.save"
        )
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        problem = "is compressed: unpack it first"
    else:
        problem = f"is no checkpoint: it begins with {shown(head[:24])}; {wanted}"
    raise InputError(f"{shown_path(path)} {problem}")


def _read_safetensors(data, path):
    try:
        import safetensors
    except ImportError:
        raise MissingExtraError("safetensors", "keras") from None
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{shown_path(path)} is damaged: {shown(str(error), 120)}; download it again"
        ) from None
    tensors, dtypes = {}, {}
    for name, entry in entries:
        dtype = _SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise InputError(
                f"{shown_path(path)} holds {shown(name)} as {entry['dtype']}, which cannot be "
                "read as weights: save it as F32, F16 or BF16"
            )
        array = np.frombuffer(entry["data"], DTYPES[dtype]).reshape(entry["shape"])
        array.flags.writeable = False
        tensors[name] = archives.widened(array, dtype) if dtype == "bfloat16" else array
        dtypes[name] = dtype
    if not tensors:
        raise InputError(f"{shown_path(path)} holds no tensors")
    return tensors, dtypes
