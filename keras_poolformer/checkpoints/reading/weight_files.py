"""Finds the files that hold the weights of a path: the file itself, or those of a directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_poolformer.checkpoints.reading.file_formats import reject_directory
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import is_regular
from keras_poolformer.support.untyped import is_dict

# In order of preference.
DIRECTORY_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class WeightFiles:
    """The files of one checkpoint.

    Args:
        paths: Paths of the files, in the order in which they are read.
        index: {file name: names of its tensors} of a sharded checkpoint; empty otherwise.
    """

    paths: tuple[Path, ...]
    index: Mapping[str, Sequence[str]] = field(default_factory=dict[str, list[str]])


def find_weight_files(path: Path) -> WeightFiles:
    """Returns the weight files of a path; whether a single file can be read is not checked.

    Args:
        path: Path of a file, or of a directory as timm or transformers save it.

    Raises:
        InputError: The directory has no weights, or a sharded checkpoint is incomplete.
    """
    if not _is_directory(path):
        return WeightFiles((path,))
    for name in DIRECTORY_FILES:
        if is_regular(path / name):
            return _shards(path / name) if name.endswith(".json") else WeightFiles((path / name,))
    reject_directory(path)
    raise InputError(
        f"{path} is a directory without weights: looked for {', '.join(DIRECTORY_FILES)}"
    )


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # opening it as a file will say why
        return False


def _shards(index: Path) -> WeightFiles:
    weight_map = read_json(index).get("weight_map")
    if not is_dict(weight_map) or not weight_map:
        raise InputError(f"{index} has no weight_map that names the shards")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if not _is_file_name(shard):
            raise InputError(
                f"{index} names the shard {shown(shard)}: a shard must be a file directly in the "
                "same directory"
            )
        shards.setdefault(shard, []).append(tensor)
    if missing := next((shard for shard in shards if not is_regular(index.parent / shard)), None):
        raise InputError(
            f"{index} names the shard {shown(missing)}, which is missing: "
            "download the whole directory"
        )
    return WeightFiles(tuple(index.parent / shard for shard in sorted(shards)), shards)


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0:")
