"""What a directory that is given as a source holds, and which of its files are the weights."""

from pathlib import Path
from typing import Any

from keras_poolformer.checkpoints import hub_json, layouts
from keras_poolformer.checkpoints.reading.weight_files import DIRECTORY_FILES
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.sources.keras_archive import read_keras_archive
from keras_poolformer.sources.preset_folder import (
    DESCRIPTION,
    WEIGHTS,
    is_preset_folder,
    read_preset_folder,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.regular_files import is_regular

RUN = "run.json"  # of a training run: `training.run`
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
CANDIDATES = (".keras", ".pth", ".tar", ".pt", ".bin", ".ckpt", ".safetensors")
MAX_UNSEEN_WEIGHTS = 2**28  # of an architecture without files; the largest preset has 73 M
_MAX_LISTED = 10


def read_folder(folder: Path) -> dict[str, Any]:
    """Recognizes a directory, and reads the JSON files that describe its weights.

    Args:
        folder: Directory as `save_to_preset`, the `card` command, `train` (its working
            directory), timm or transformers write it, or one whose weights have a name that
            timm or transformers give them.

    Returns:
        Arguments of `presets.Source`: `weights` and, as far as known, `config`,
        `architecture`, `transform` and `unused`.

    Raises:
        InputError: The directory is none of these, or a file of it is missing or corrupt.
    """
    if is_preset_folder(folder):
        weights, config, transform = read_preset_folder(folder)
        return {"weights": weights, "config": config, "transform": transform}
    if (folder / CONFIG).exists():
        return {"weights": folder, **_hub_folder(folder)}
    if is_regular(folder / RUN):
        return _run_folder(folder)
    if is_regular(folder / "saved_model.pb"):
        raise InputError(
            f"{folder} is a SavedModel, which only predict and evaluate accept: give the source "
            "that it was exported from"
        )
    found = candidates(folder)
    if any((folder / name).is_file() for name in DIRECTORY_FILES) and ".keras" not in {
        Path(name).suffix for name in found
    }:
        return {"weights": folder}
    raise _not_ours(folder, found)


def check_described_size(weights: Path, config: PoolFormerConfig, name: str) -> None:
    """Rejects a hostile description before a model of its size costs memory.

    Args:
        weights: File or directory of the weights, which may not be there yet.
        config: Architecture that is described.
        name: What the error calls the source.

    Raises:
        InputError: There are fewer bytes than weights.
    """
    files = [weights] if is_regular(weights) else [weights / file for file in candidates(weights)]
    size, described = sum(file.stat().st_size for file in files), layouts.count_parameters(config)
    if described > (size if files else MAX_UNSEEN_WEIGHTS):
        where = f"{size:,} bytes" if files else "files that are not here"
        raise InputError(f"{name} describes {described:,} weights in {where}")


def candidates(folder: Path) -> list[str]:
    """Names of the files in a directory that may hold weights."""
    if not folder.is_dir():
        return []
    try:
        files = [path for path in folder.iterdir() if path.suffix in CANDIDATES and path.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from None
    return sorted(path.name for path in files)


def _run_folder(folder):
    """The model that a training run ended with: with its labels, size and transform."""
    weights = folder / WEIGHTS
    if not weights.exists():
        raise InputError(
            f"{folder} is a training run without {WEIGHTS}: rerun the same `train` command to "
            "finish it"
        )
    archive = read_keras_archive(weights)
    transform = archive.provenance.get("transform") or {}
    return {"weights": weights, "config": archive.config, "transform": transform}


def _hub_folder(folder):
    config = read_json(folder / CONFIG)
    if not config:
        return {}
    if not hub_json.is_hf(config):
        return {
            "config": hub_json.timm_config(config),
            "architecture": hub_json.timm_architecture(config),
            "transform": hub_json.timm_transform(config),
        }
    file = folder / PREPROCESSOR
    preprocessor = read_json(file) if file.exists() else {}
    channels = config.get("num_channels", 3)
    return {
        "config": hub_json.hf_config(config),
        "unused": hub_json.hf_unused(config),
        "transform": hub_json.hf_transform(preprocessor, channels) if preprocessor else {},
    }


def _not_ours(folder, found):
    if not found:
        return InputError(
            f"{folder} is a directory without weights: looked for {DESCRIPTION}, {RUN}, "
            f"{', '.join(DIRECTORY_FILES)}"
        )
    more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    return InputError(
        f"{folder} is not a directory of this package, timm or transformers: give one of its "
        f"files. It holds {', '.join(found[:_MAX_LISTED])}{more}"
    )
