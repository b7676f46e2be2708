"""A preset folder as KerasHub writes it, read without KerasHub: JSON files, and weights in HDF5.

Only plain values are taken from the JSON files, as from a .keras file.
"""

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.huggingface import Snapshot
from keras_poolformer.sources.keras_weights import check_weights
from keras_poolformer.sources.saved import (
    SavedDescription,
    SavedWeights,
    WeightFiles,
    checked_dtype,
)
from keras_poolformer.sources.source import Contents, Progress, Source
from keras_poolformer.sources.source_folders import check_described_size
from keras_poolformer.support.errors import InputError, OutputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import is_regular, open_regular

CONFIG = "config.json"
CONVERTER = "image_converter.json"
TASK = "task.json"
HEAD_WEIGHTS = "task.weights.h5"
WEIGHTS = "model.weights.h5"
SHARDS = "model.weights.json"
PACKAGE = "keras_poolformer.hub"  # of the classes that need KerasHub
# Fields of the config that a task has for itself, whatever its backbone was made with.
HEAD_FIELDS = (
    "head",
    "head_dropout_rate",
    "head_mlp_ratio",
    "head_norm_epsilon",
    "labels",
    "neck_width",
    "num_classes",
    "palette",
    "problem_type",
    "segmentation_width",
)
_BACKBONES = (
    "keras_poolformer>MetaFormerBackbone",
    "keras_poolformer>PoolFormerBackbone",
    f"{PACKAGE}>MetaFormerBackbone",
    f"{PACKAGE}>SegFormerEncoder",
)
_TASKS = {
    f"{PACKAGE}>MetaFormerImageClassifier": "PoolFormerImageClassifier",
    f"{PACKAGE}>MetaFormerImageSegmenter": "PoolFormerSegmenter",
}
_SHARD = re.compile(r"[\w-]+\.weights\.h5", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class KerasHubSource(Source):
    """A folder as KerasHub's `save_to_preset` writes it.

    Args:
        saved: What its JSON files say about the model; without its provenance, which
            KerasHub's training does not keep up to date.
        backbone_name: Name under which the class of its backbone is registered with Keras.
    """

    saved: SavedDescription
    backbone_name: str

    @classmethod
    def of_folder(cls, name: str, folder: Path, snapshot: Snapshot | None = None) -> Self:
        """Returns the source of a folder.

        Args:
            name: Name, path or URI as the user gave it.
            folder: Path of the folder.
            snapshot: The folder's snapshot, if it is one of a hub repository.

        Raises:
            InputError: A JSON file is corrupt, or the model is not one of this package.
        """
        saved, transform = _described(folder)
        return cls(
            name=name,
            weights=folder,
            transform=_converter_transform(folder) or transform,
            snapshot=snapshot,
            saved=saved,
            backbone_name=read_json(folder / CONFIG)["registered_name"],
        )

    def read(
        self,
        *,
        weights: bool = True,
        progress: Progress | None = None,
        layout: str | None = None,
        use_ema: bool = True,
        sha256: str | None = None,
        token_mixers: Any = None,
    ) -> Contents:
        """Reads the model; see `Source.read`."""
        if layout or not use_ema or sha256:
            option = "--layout" if layout else "--sha256" if sha256 else "--no-ema"
            raise InputError(f"{self.name}: {option} does not apply to folders of KerasHub")
        if self.snapshot:
            raise InputError(
                f"{self.name} is a folder of KerasHub, which is not downloaded here: `hf download "
                f"{self.snapshot.repository} --local-dir DIR` does, then give DIR"
            )
        config = self.saved.config
        check_described_size(self.weights, config, self.name)
        contents = Contents(
            config=config,
            provenance=self._provenance(config),
            is_backbone=self.saved.is_backbone,
        )
        if not weights:
            return contents
        files = KerasHubWeights(name=self.name, path=self.weights, description=self.saved)
        return replace(contents, saved=files)


@dataclass(frozen=True, kw_only=True)
class KerasHubWeights(SavedWeights):
    """The weights in such a folder: those of the backbone, in one file or more, and the head's."""

    def extract(self, folder: Path) -> WeightFiles:
        """Copies the files; see `SavedWeights.extract`."""
        if is_regular(self.path / WEIGHTS):
            model = _copied(self.path / WEIGHTS, folder)
            parts = [model]
        else:
            model = _copied(self.path / SHARDS, folder)
            parts = [_copied(self.path / shard, folder) for shard in _shards(model)]
        head = None
        if not self.description.is_backbone:
            head = _copied(self.path / HEAD_WEIGHTS, folder)
            parts.append(head)
        check_weights(parts, self.description, self.name)
        return WeightFiles(model, head)


def is_kerashub_folder(folder: Path) -> bool:
    """Whether KerasHub wrote a folder: its config.json describes an object of Keras."""
    return is_regular(folder / CONFIG) and "registered_name" in read_json(folder / CONFIG)


def _described(folder: Path) -> tuple[SavedDescription, ImageTransform | None]:
    """What the JSON files say about the model, and the transform that its backbone was made with.

    Another library's task around a backbone of this package counts as the backbone: its head is
    not one that this package has.
    """
    file = folder / CONFIG
    arguments = _arguments(file, _BACKBONES)
    fields: Any = arguments.get("config")
    if not isinstance(fields, dict):
        raise InputError(f"{file}: `config` must be an object with an object `config`")
    config = MetaFormerConfig(**cast(dict[str, Any], fields))
    provenance: Any = arguments.get("provenance")
    transform: Any = arguments.get("transform")
    if isinstance(transform, dict):
        transform = ImageTransform.from_dict(cast(dict[str, Any], transform))
    else:
        transform = Provenance.of(provenance, str(file)).transform if provenance else None
    task = read_json(folder / TASK) if (folder / TASK).exists() else {}
    class_name = _TASKS.get(str(task.get("registered_name")), "PoolFormerBackbone")
    if class_name != "PoolFormerBackbone":
        config = _with_head(config, task.get("config"), folder / TASK)
    description = SavedDescription(
        class_name=class_name,
        config=config,
        provenance=Provenance(),
        dtype=checked_dtype(_policy_name(arguments.get("dtype")), str(file)),
        trainable={},
        quantized=False,
    )
    return description, transform


def _arguments(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The constructor's arguments in a JSON file, whose class must be one of these."""
    document = read_json(file)
    registered = document.get("registered_name")
    arguments: Any = document.get("config")
    if registered not in names or not isinstance(arguments, dict):
        raise InputError(
            f"{file} must describe a backbone of this package; KerasHub loads its own models. "
            f"Received: {shown(registered)}"
        )
    return cast(dict[str, Any], arguments)


def _policy_name(policy: Any) -> Any:
    """The name of a serialized dtype policy, or what else there is."""
    try:
        return policy["config"]["name"]
    except (KeyError, TypeError):
        return policy


def _with_head(config: MetaFormerConfig, arguments: Any, file: Path) -> MetaFormerConfig:
    """The architecture with the head of a task."""
    if not isinstance(arguments, dict):
        raise InputError(f"{file}: `config` must be an object. Received: {shown(arguments)}")
    fields = cast(dict[str, Any], arguments)
    config = config.replace(**{name: fields[name] for name in HEAD_FIELDS if name in fields})
    return config if config.is_segmenter else config.replace(feature_norms=False)


def _converter_transform(folder: Path) -> ImageTransform | None:
    """The transform of this package's image converter, or None without one."""
    if not (folder / CONVERTER).exists():
        return None
    document = read_json(folder / CONVERTER)
    if document.get("registered_name") != f"{PACKAGE}>MetaFormerImageConverter":
        return None
    arguments: Any = document.get("config")
    if not isinstance(arguments, dict):
        raise InputError(f"{folder / CONVERTER}: `config` must be an object with a `transform`")
    return ImageTransform.from_dict(cast(dict[str, Any], arguments).get("transform", {}))


def _shards(index: Path) -> list[str]:
    weight_map: Any = read_json(index).get("weight_map")
    names: list[Any] = []
    for files in cast(dict[str, Any], weight_map).values() if isinstance(weight_map, dict) else ():
        # Keras takes the first of a list: an empty one is rejected below, as what it is.
        names += cast(list[Any], files) if files and isinstance(files, list) else [files]
    for name in names:
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise InputError(f"{index} names the shard {shown(name)}, which Keras does not write")
    return sorted(set(names))


def _copied(file: Path, folder: Path) -> Path:
    """A copy of a file: what is checked is what is loaded."""
    copy = folder / file.name
    with open_regular(file) as original, copy.open("wb") as written:
        try:
            shutil.copyfileobj(original, written)
        except OSError as error:
            raise OutputError(f"{file} cannot be copied to {folder}: {error.strerror}") from None
    return copy
