"""A folder with a model, and a description that is read without Keras."""

import json
import os
from pathlib import Path
from typing import Any, cast

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.output_folders import OutputFolder
from keras_poolformer.support.version import __version__

WEIGHTS = "model.keras"
DESCRIPTION = "keras_poolformer.json"
PRESET_FOLDER = OutputFolder(
    "a folder that save_to_preset wrote", (WEIGHTS, DESCRIPTION), markers=(DESCRIPTION,)
)


def is_preset_folder(folder: str | os.PathLike[str]) -> bool:
    """Whether `write_preset_folder` wrote a folder."""
    return (Path(folder) / DESCRIPTION).is_file()


def write_preset_folder(
    model: Any,
    folder: str | os.PathLike[str],
    transform: ImageTransform,
    overwrite: bool = False,
) -> None:
    """Writes a model and its description; the folder is complete or absent.

    Args:
        model: Keras model with `config` and `save`.
        folder: Path to write. An existing folder is only replaced if it is such a folder, or
            empty.
        transform: How images are prepared for the model.
        overwrite: Whether an existing folder may be replaced.

    Raises:
        InputError: The folder exists and may not be replaced, or cannot be written.
    """
    folder = Path(folder)
    refuse_existing(folder, overwrite, PRESET_FOLDER)
    description: dict[str, Any] = {
        "keras_poolformer": __version__,
        "class": type(model).__name__,
        "config": model.config.to_dict(),
        "transform": transform.to_dict(),
    }
    with replacing(folder, overwrite, PRESET_FOLDER) as written:
        written.mkdir()
        model.save(written / WEIGHTS)
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (written / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")


def read_description(
    folder: str | os.PathLike[str],
) -> tuple[MetaFormerConfig, ImageTransform | None]:
    """Reads what such a folder says about its model, without opening the model.

    Returns:
        (the architecture, the transform or None).

    Raises:
        InputError: The description is missing or corrupt.
    """
    file = Path(folder) / DESCRIPTION
    description = read_json(file)
    config = description.get("config")
    transform = description.get("transform", {})
    for name, value in (("config", config), ("transform", transform)):
        if not isinstance(value, dict):
            raise InputError(f"{file}: `{name}` must be an object of options")
    options = ImageTransform.from_dict(transform) if transform else None
    return MetaFormerConfig(**cast(dict[str, Any], config)), options
