"""The description inside a .keras file, read without Keras: a zip with a config.json."""

import os
from dataclasses import dataclass
from typing import BinaryIO

from keras_poolformer.provenance import checked_provenance
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import MAX_JSON_BYTES, parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import open_regular
from keras_poolformer.support.zip_files import ZipEntries

DESCRIPTION, WEIGHTS = "config.json", "model.weights.h5"
_REGISTERED = "keras_poolformer>"
_CLASSES = ("PoolFormerImageClassifier", "PoolFormerBackbone")
_DTYPES = ("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16")
# What was trainable; older files have the second, newer ones the third.
TRAINABLE_FIELDS = ("trainable", "frozen_stages", "trainable_state")


@dataclass(frozen=True)
class KerasArchive:
    """What a .keras file says about its model.

    Args:
        class_name: "PoolFormerImageClassifier" or "PoolFormerBackbone".
        config: Fields of `PoolFormerConfig`.
        provenance: Provenance of the model; {} if it has none.
        dtype: Name of the dtype policy.
        quantized: Whether Keras quantized its last layer.
        trainable: What was trainable, as far as the file says: `TRAINABLE_FIELDS`.
    """

    class_name: str
    config: dict
    provenance: dict
    dtype: str
    trainable: dict
    quantized: bool

    @property
    def is_backbone(self) -> bool:
        """Whether the model has no head."""
        return self.class_name.endswith("Backbone")


def read_keras_archive(path: str | os.PathLike[str]) -> KerasArchive:
    """Reads the description of a PoolFormer from a .keras file; see `describe_keras_file`."""
    with open_regular(path) as file:
        return describe_keras_file(file, str(path))


def describe_keras_file(file: BinaryIO, name: str) -> KerasArchive:
    """Reads the description of a PoolFormer from an open .keras file.

    Only plain JSON values are taken from it: nothing is deserialized into objects, so that
    a crafted file cannot name classes or functions to be run.

    Args:
        file: The .keras file.
        name: What errors call it.

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
        arguments = document["config"]
        config, provenance = arguments["config"], arguments["provenance"]
        dtype = arguments["dtype"]["config"]["name"]
    except (KeyError, TypeError) as error:
        raise _other_model(name, f"a description that differs ({error!r})") from None
    if not isinstance(config, dict) or not isinstance(provenance, dict | None):
        raise _other_model(name, "a description that differs (config and provenance)")
    quantized = arguments.get("quantized", False)
    if not isinstance(quantized, bool):
        raise InputError(f"{name}: `quantized` must be true or false. Received: {shown(quantized)}")
    if dtype not in _DTYPES:
        raise InputError(
            f"{name}: its dtype policy must be one of {', '.join(_DTYPES)}. "
            f"Received: {shown(dtype)}"
        )
    return KerasArchive(
        class_name=registered.removeprefix(_REGISTERED),
        config=config,
        provenance=checked_provenance(provenance, name),
        dtype=dtype,
        quantized=quantized,
        trainable={field: arguments[field] for field in TRAINABLE_FIELDS if field in arguments},
    )


def _other_model(name, received):
    return InputError(f"{name} must hold a PoolFormer saved by this package. Received: {received}")
