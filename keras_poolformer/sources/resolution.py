"""What a text that a user gives as a source stands for."""

import os
from pathlib import Path

from keras_poolformer.checkpoints import hub_json, timm_json
from keras_poolformer.checkpoints.reading.weight_files import DIRECTORY_FILES
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.sources import huggingface, presets
from keras_poolformer.sources.keras_source import KerasSource
from keras_poolformer.sources.kerashub import KerasHubSource, is_kerashub_folder
from keras_poolformer.sources.preset_folder import DESCRIPTION, WEIGHTS, is_preset_folder
from keras_poolformer.sources.source import Source
from keras_poolformer.sources.source_folders import RUN, candidates
from keras_poolformer.sources.torch_source import TorchSource
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import did_you_mean, one_line, shown
from keras_poolformer.support.regular_files import is_regular

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
_MAX_LISTED = 10  # files in an error
_KINDS = (
    "the name of a preset, a .pth, .pth.tar, .bin, .safetensors or .keras file, a directory as "
    "train, card, save_to_preset, timm or transformers write it, or hf://OWNER/NAME[@REVISION]"
)


def resolve(source: str | os.PathLike[str] | Source) -> Source:
    """Finds out what a source is; reads JSON files, if need be from the hub, but no weights.

    Args:
        source: Name of a preset ("poolformer_s12" is short for "poolformer_s12_in1k"), path of a
            checkpoint file, path of a directory as `save_to_preset`, `card`, `train`, timm or
            transformers write it, "hf://OWNER/NAME[@REVISION]", or a `Source`.

    Raises:
        InputError: There is no such preset, file or repository, or a JSON file cannot be
            downloaded or is not valid.
    """
    if isinstance(source, Source):
        return source
    text = _text(source)
    if preset := presets.find_preset(text):
        return preset
    if text.startswith("hf://"):
        return _of_snapshot(text)
    path = Path(text)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # a name too long for a file, a folder that may not be searched
        raise InputError(f"{shown(text)} cannot be read: {error.strerror}") from None
    if is_folder:
        return _of_folder(text, path)
    if not exists:
        raise _unknown(text)
    if path.suffix == ".tflite":
        raise InputError(
            f"{text} is an exported file, which only predict, evaluate and benchmark accept: "
            "give the source that it was exported from"
        )
    if path.suffix == ".keras":
        return KerasSource.of_file(text, path)
    return TorchSource(name=text, weights=path)


def _text(source: str | os.PathLike[str]) -> str:
    try:
        return os.fsdecode(source)
    except TypeError:
        raise InputError(f"a source must be {_KINDS}. Received: {shown(source)}") from None


def _unknown(text: str) -> InputError:
    names = list(presets.list_presets())
    return InputError(
        f"{one_line(text, 300)} is neither a file, nor a directory, nor a preset."
        f"{did_you_mean(text, presets.accepted_names())} A source is {_KINDS}. "
        f"Presets (see `keras-poolformer presets`): {', '.join(names)}"
    )


def _of_snapshot(uri: str) -> Source:
    """The source of a hub repository, whose weights may not be there yet."""
    snapshot = huggingface.open_snapshot(uri)
    if is_preset_folder(snapshot.folder):
        return KerasSource.of_snapshot(uri, snapshot)
    if is_kerashub_folder(snapshot.folder):
        return KerasHubSource.of_folder(uri, snapshot.folder, snapshot)
    return _of_hub_folder(uri, snapshot.folder, snapshot)


def _of_folder(name: str, folder: Path) -> Source:
    """The source of a directory that this package, KerasHub, timm or transformers wrote.

    Raises:
        InputError: The directory is none of these, or a file of it is missing or corrupt.
    """
    if is_preset_folder(folder):
        return KerasSource.of_preset_folder(name, folder)
    if is_kerashub_folder(folder):
        return KerasHubSource.of_folder(name, folder)
    if (folder / CONFIG).exists():
        return _of_hub_folder(name, folder)
    if is_regular(folder / RUN):
        return _of_run(name, folder)
    if is_regular(folder / "saved_model.pb"):
        raise InputError(
            f"{folder} is a SavedModel, which only predict and evaluate accept: give the source "
            "that it was exported from"
        )
    found = candidates(folder)
    has_weights = any((folder / file).is_file() for file in DIRECTORY_FILES)
    if has_weights and ".keras" not in {Path(file).suffix for file in found}:
        return TorchSource(name=name, weights=folder)
    raise _not_ours(folder, found)


def _of_run(name: str, folder: Path) -> Source:
    """The model that a training run ended with: with its labels, size and transform."""
    weights = folder / WEIGHTS
    if not weights.exists():
        raise InputError(
            f"{folder} is a training run without {WEIGHTS}: rerun the same `train` command to "
            "finish it"
        )
    return KerasSource.of_file(name, weights)


def _of_hub_folder(name: str, folder: Path, snapshot: huggingface.Snapshot | None = None) -> Source:
    """The source of PyTorch weights with the JSON files of timm or transformers, if any."""
    source = TorchSource(name=name, weights=folder, snapshot=snapshot)
    config = read_json(folder / CONFIG)
    if not config:
        return source
    if not hub_json.is_hf(config):
        return source.replace(
            config=timm_json.timm_config(config),
            architecture=timm_json.timm_architecture(config),
            transform=ImageTransform.from_dict(timm_json.timm_transform(config)),
        )
    return source.replace(
        config=hub_json.hf_config(config),
        hf_unused=hub_json.hf_unused(config),
        transform=_hf_transform(folder, config.get("num_channels", 3)),
    )


def _hf_transform(folder: Path, channels: int) -> ImageTransform | None:
    file = folder / PREPROCESSOR
    preprocessor = read_json(file) if file.exists() else {}
    if not preprocessor:
        return None
    return ImageTransform.from_dict(hub_json.hf_transform(preprocessor, channels))


def _not_ours(folder: Path, found: list[str]) -> InputError:
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
