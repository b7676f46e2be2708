"""A folder with a model, and a description that is read without Keras."""

import json
from pathlib import Path

from keras_poolformer.checkpoints.keras_archive import read_keras_archive
from keras_poolformer.checkpoints.readers import read_json
from keras_poolformer.errors import InputError
from keras_poolformer.files import refuse_existing, replacing
from keras_poolformer.output_folders import OutputFolder
from keras_poolformer.version import __version__

WEIGHTS, DESCRIPTION = "model.keras", "keras_poolformer.json"
PRESET_FOLDER = OutputFolder(
    "a folder that save_to_preset wrote", (WEIGHTS, DESCRIPTION), markers=(DESCRIPTION,)
)


def is_preset_folder(folder):
    """Whether `write_preset_folder` wrote it."""
    return (Path(folder) / DESCRIPTION).is_file()


def write_preset_folder(model, folder, transform, overwrite=False):
    """Writes a model and its description; the folder is whole or not there.

    Args:
        model: a Keras model with `config` and `save`.
        folder: to write. An existing one is only replaced if it is such a folder, or empty.
        transform: arguments of the model's `ImageTransform`.
        overwrite: whether it may be replaced.

    Raises:
        InputError: it exists and may not be replaced, or cannot be written.
    """
    refuse_existing(folder, overwrite, PRESET_FOLDER)
    description = {
        "keras_poolformer": __version__,
        "class": type(model).__name__,
        "config": model.config.to_dict(),
        "transform": transform,
    }
    with replacing(folder, overwrite, PRESET_FOLDER) as written:
        written.mkdir()
        model.save(written / WEIGHTS)
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (written / DESCRIPTION).write_text(text, encoding="utf-8")


def read_preset_folder(folder):
    """Reads the description of such a folder.

    Returns:
        (weights file, fields of `PoolFormerConfig`, arguments of `ImageTransform`).

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
    """
    weights, file = Path(folder) / WEIGHTS, Path(folder) / DESCRIPTION
    description, archive = read_json(file), read_keras_archive(weights)
    transform = description.get("transform", {})
    if not isinstance(transform, dict):
        raise InputError(f"{file}: `transform` must be an object of options")
    if description.get("config") != archive.config:
        raise InputError(
            f"{file} must describe the model in {WEIGHTS} beside it. Received: another config; "
            f"to change a model, load and save it"
        )
    return weights, archive.config, transform
