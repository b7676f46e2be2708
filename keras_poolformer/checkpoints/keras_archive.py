"""The description inside a .keras file, read without Keras: a zip with a config.json."""

import json
import zipfile
from dataclasses import dataclass

from keras_poolformer.errors import InputError

_REGISTERED = "keras_poolformer>"
_CLASSES = ("PoolFormerImageClassifier", "PoolFormerBackbone")
_DTYPES = ("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16")
# What was trainable; older files have the second, newer ones the third.
TRAINABLE_FIELDS = ("trainable", "frozen_stages", "trainable_state")
_MAX_CONFIG_BYTES = 8 * 2**20


@dataclass(frozen=True)
class KerasArchive:
    """What a .keras file says of its model.

    Args:
        class_name: "PoolFormerImageClassifier" or "PoolFormerBackbone".
        config: fields of `PoolFormerConfig`.
        provenance: the model's provenance; {} if it has none.
        dtype: name of the dtype policy.
        quantized: Whether Keras quantized its last layer.
        trainable: What was trainable, as far as the file says: `TRAINABLE_FIELDS`.
    """

    class_name: str
    config: dict
    provenance: dict
    dtype: str
    trainable: dict
    quantized: bool


def read_keras_archive(path):
    """Reads the description of a PoolFormer from a .keras file.

    Only plain JSON values are taken from it: nothing is deserialised into objects, so that
    a crafted file cannot name classes or functions to be run.

    Raises:
        InputError: the file is damaged, or holds some other model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MAX_CONFIG_BYTES:
                raise InputError(f"{path}: its config.json is larger than a model's can be")
            document = json.loads(archive.read("config.json"))
        registered_name, arguments = document["registered_name"], document["config"]
        class_name = registered_name.removeprefix(_REGISTERED)
        ours = registered_name in [f"{_REGISTERED}{name}" for name in _CLASSES]
        archive_config = KerasArchive(
            class_name=class_name,
            config=dict(arguments["config"]),
            provenance=dict(arguments["provenance"] or {}),
            dtype=str(arguments["dtype"]["config"]["name"]),
            quantized=bool(arguments.get("quantized", False)),
            trainable={name: arguments[name] for name in TRAINABLE_FIELDS if name in arguments},
        ) if ours else None  # fmt: skip
    except InputError:
        raise
    except (OSError, zipfile.BadZipFile, NotImplementedError, RecursionError) as error:
        raise InputError(f"{path} is no readable .keras file: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} must hold a PoolFormer saved by this package. "
            f"Received: a .keras file whose description differs ({error!r})"
        ) from None
    if archive_config is not None and archive_config.dtype not in _DTYPES:
        raise InputError(
            f"{path}: its dtype policy must be one of {', '.join(_DTYPES)}. "
            f"Received: {archive_config.dtype[:80]!r}"
        )
    if archive_config is None:
        raise InputError(
            f"{path} must hold a PoolFormer saved by this package. "
            f"Received: a model registered as {str(registered_name)[:80]!r}"
        )
    return archive_config
