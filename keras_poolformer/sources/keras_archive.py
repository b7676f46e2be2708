"""The description inside a .keras file, read without Keras: a zip with a config.json."""

import os
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.saved import TRAINABLE_FIELDS, SavedDescription, checked_dtype
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import MAX_JSON_BYTES, parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import open_regular
from keras_poolformer.support.zip_files import ZipEntries

DESCRIPTION = "config.json"
WEIGHTS = "model.weights.h5"
_REGISTERED = "keras_poolformer>"
_CLASSES = (
    "PoolFormerImageClassifier",
    "PoolFormerBackbone",
    "PoolFormerSegmenter",
    "MetaFormerImageClassifier",
    "MetaFormerBackbone",
    "MetaFormerSegmenter",
)


class Stamp(NamedTuple):
    """Identifies a file's contents, without reading them, for as long as a program runs."""

    device: int
    inode: int
    size: int
    modified: int  # nanoseconds


@dataclass(frozen=True)
class KerasArchive(SavedDescription):
    """What a .keras file says about its model, whose class is one of `_CLASSES`.

    Args:
        stamp: Stamp of the file.
    """

    stamp: Stamp


def stamp_of(file: BinaryIO) -> Stamp:
    """Returns the stamp of an open file."""
    status = os.fstat(file.fileno())
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_keras_archive(path: str | os.PathLike[str]) -> KerasArchive:
    """Reads the description of a PoolFormer from a .keras file; see `describe_keras_file`."""
    with open_regular(path) as file:
        return describe_keras_file(file, str(path), stamp_of(file))


def describe_keras_file(file: BinaryIO, name: str, stamp: Stamp) -> KerasArchive:
    """Reads the description of a PoolFormer from an open .keras file.

    Only plain JSON values are taken from it: nothing is deserialized into objects, so that
    a crafted file cannot name classes or functions to be run.

    Args:
        file: The .keras file, or its bytes in memory.
        name: What errors call it.
        stamp: Stamp of the file.

    Raises:
        InputError: The file is corrupt, or holds some other model.
    """
    entries = ZipEntries(file, name, ".keras file")
    if DESCRIPTION not in entries:
        raise _other_model(name, f"a zip archive without {DESCRIPTION}")
    data = entries.read(DESCRIPTION, MAX_JSON_BYTES)
    document = parse_json(data, f"{name}: {DESCRIPTION}")
    registered = document.get("registered_name")
    if registered not in [f"{_REGISTERED}{class_name}" for class_name in _CLASSES]:
        raise _other_model(name, f"a model registered as {shown(registered)}")
    try:
        arguments: Any = document["config"]
        config: Any = arguments["config"]
        provenance: Any = arguments["provenance"]
        dtype: Any = arguments["dtype"]["config"]["name"]
    except (KeyError, TypeError) as error:
        raise _other_model(name, f"a description that differs ({error!r})") from None
    if type(config) is not dict or type(provenance) not in (dict, type(None)):
        raise _other_model(name, "a description that differs (config and provenance)")
    quantized = arguments.get("quantized", False)
    if not isinstance(quantized, bool):
        raise InputError(f"{name}: `quantized` must be true or false. Received: {shown(quantized)}")
    return KerasArchive(
        class_name=registered.removeprefix(_REGISTERED),
        config=MetaFormerConfig(**cast(dict[str, Any], config)),
        provenance=Provenance.of(provenance, name),
        dtype=checked_dtype(dtype, name),
        trainable={field: arguments[field] for field in TRAINABLE_FIELDS if field in arguments},
        quantized=quantized,
        stamp=stamp,
    )


def _other_model(name: str, received: str) -> InputError:
    return InputError(f"{name} must hold a PoolFormer saved by this package. Received: {received}")
