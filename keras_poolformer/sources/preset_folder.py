"""A folder with a model, and a description that is read without Keras."""

import json
from pathlib import Path

from keras_poolformer.sources.keras_archive import read_keras_archive
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.output_folders import OutputFolder
from keras_poolformer.support.version import __version__

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
        InputError: A file is missing or corrupt, or the two do not belong together.
    """
    weights = Path(folder) / WEIGHTS
    config, transform = read_description(folder)
    if config != read_keras_archive(weights).config:
        raise InputError(
            f"{Path(folder) / DESCRIPTION} must describe the model in {WEIGHTS} beside it. "
            f"Received: another config; to change a model, load and save it"
        )
    return weights, config, transform


def read_description(folder):
    """Reads what such a folder says about its model, without looking at the model.

    Returns:
        (fields of `PoolFormerConfig`, arguments of `ImageTransform`).

    Raises:
        InputError: The description is missing or corrupt.
    """
    file = Path(folder) / DESCRIPTION
    description = read_json(file)
    config, transform = description.get("config"), description.get("transform", {})
    for name, value in (("config", config), ("transform", transform)):
        if not isinstance(value, dict):
            raise InputError(f"{file}: `{name}` must be an object of options")
    return config, transform
