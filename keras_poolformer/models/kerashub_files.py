"""Writes a backbone as KerasHub does, without KerasHub."""

import json
import os
from pathlib import Path
from typing import Any

import keras

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.sources.kerashub import CONFIG, SHARDS, WEIGHTS
from keras_poolformer.support.errors import InputError, OutputError
from keras_poolformer.support.files import replacing

_BYTES_PER_GB = 1024**3


def write_kerashub_files(
    model: Any,
    folder: str | os.PathLike[str],
    transform: ImageTransform,
    max_shard_size: float | None,
) -> None:
    """Writes the files of a backbone into a folder, which may hold those of a task around it.

    Args:
        model: `MetaFormerBackbone` to write.
        folder: Folder to write to; it may exist.
        transform: How images are prepared for the model.
        max_shard_size: Largest size of a file of weights in GB, or None for any.

    Raises:
        InputError: The model has a head.
    """
    if hasattr(model, "backbone"):
        raise InputError(
            "`max_shard_size` is for backbones, in folders of KerasHub, for which "
            "keras_poolformer.hub has classes with heads. Received: "
            f"{max_shard_size}, {type(model).__name__}"
        )
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    description: Any = keras.saving.serialize_keras_object(model)
    for entry in ("build_config", "compile_config"):
        description.pop(entry, None)
    description["config"]["provenance"] = model.provenance.replace(transform=transform).to_json()
    with replacing(folder / CONFIG, overwrite=True) as written:
        written.write_text(json.dumps(description, indent=4), encoding="utf-8", newline="\n")
    arrays: Any = map(keras.ops.convert_to_numpy, model.variables)
    size = sum(array.nbytes for array in arrays)
    if max_shard_size is None or size <= max_shard_size * _BYTES_PER_GB:
        (folder / SHARDS).unlink(missing_ok=True)
        model.save_weights(folder / WEIGHTS, overwrite=True)
    else:
        (folder / WEIGHTS).unlink(missing_ok=True)  # which a reader would prefer
        model.save_weights(folder / SHARDS, overwrite=True, max_shard_size=max_shard_size)
