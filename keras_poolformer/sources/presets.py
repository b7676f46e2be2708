"""Where weights come from: named presets, files, directories and repositories of the hub."""

import dataclasses
import functools
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.architecture import infer_config
from keras_poolformer.checkpoints.reading import readers
from keras_poolformer.config import VARIANTS, PoolFormerConfig
from keras_poolformer.labels import read_labels
from keras_poolformer.shipped import ASSETS as ASSETS
from keras_poolformer.sources import downloads, huggingface
from keras_poolformer.sources.keras_archive import read_keras_archive
from keras_poolformer.sources.preset_folder import WEIGHTS, is_preset_folder, read_description
from keras_poolformer.sources.source_folders import read_folder
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import did_you_mean, one_line, shown

CIFAR10_LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Weights, and what is known about them besides.

    Args:
        name: as the user said it.
        weights: the file or directory that holds them, once `fetch_weights` was called.
        config: known fields of `PoolFormerConfig`; the shapes of the tensors tell the rest.
        architecture: further fields that the weights, where they are read, may contradict.
        transform: arguments of `ImageTransform`; empty where nothing is known.
        unused: fields of transformers' config.json that nothing looks at, to be written back.
        sha256: that the file must have, or None.
        download: the address of a released file, or None.
        snapshot: of a repository of the hub, or None.
        description: one line for lists.
        top1: top-1 accuracy in per cent on the data set's validation or test images.
    """

    name: str
    weights: Path
    config: dict = field(default_factory=dict)
    architecture: dict = field(default_factory=dict)
    transform: dict = field(default_factory=dict)
    unused: dict = field(default_factory=dict)
    sha256: str | None = None
    download: str | None = None
    snapshot: huggingface.Snapshot | None = None
    description: str = ""
    top1: float | None = None

    @property
    def is_keras(self):
        """Whether the weights are a .keras file."""
        return self.weights.suffix == ".keras"

    @property
    def downloaded(self):
        """What holds the downloaded weights and is safe to delete, or None."""
        if self.snapshot:
            return self.snapshot.cache
        return self.weights if self.download else None


_SUFFIX = "_in1k"  # of the presets' names, which may be left out
_KINDS = (
    "the name of a preset, a .pth, .pth.tar, .bin, .safetensors or .keras file, a directory as "
    "train, card, save_to_preset, timm or transformers write it, or hf://OWNER/NAME[@REVISION]"
)
RELEASE = "https://github.com/sail-sg/poolformer/releases/download/v1.0"
# Accuracies: table 1 of arXiv 2111.11418. crop_pct: the authors' validation commands.
_RELEASED = {
    "poolformer_s12": (0.9, 77.2),
    "poolformer_s24": (0.9, 80.3),
    "poolformer_s36": (0.9, 81.4),
    "poolformer_m36": (0.95, 82.1),
    "poolformer_m48": (0.95, 82.5),
}


def list_presets():
    """Returns {name: one line of description} of every preset."""
    return {name: source.description for name, source in _presets().items()}


def resolve(source):
    """Finds out what `source` means; reads JSON files, if need be from the hub, but no weights.

    Args:
        source: Name of a preset ("poolformer_s12" is short for "poolformer_s12_in1k"), path of a
            checkpoint file or of a directory as `source_folders` knows it, or
            "hf://OWNER/NAME[@REVISION]".

    Returns:
        A `Source`.

    Raises:
        InputError: There is no such preset, file or repository, or a JSON file cannot be
            downloaded or used.
    """
    if isinstance(source, Source):
        return source
    text, presets = _text(source), _presets()
    for name in (text, f"{text}{_SUFFIX}"):
        if name in presets:
            return presets[name]
    if text.startswith("hf://"):
        snapshot = huggingface.open_snapshot(text)
        return Source(name=text, snapshot=snapshot, **_snapshot_fields(snapshot))
    path = Path(text)
    try:
        if path.is_dir():
            return Source(name=text, **read_folder(path))
        exists = path.exists()
    except OSError as error:  # a name too long for a file, a folder that may not be searched
        raise InputError(f"{shown(text)} cannot be read: {error.strerror}") from None
    if not exists:
        raise _unknown(text, presets)
    if path.suffix == ".tflite":
        raise InputError(
            f"{text} is an exported file, which only predict, evaluate and benchmark accept: "
            "give the source that it was exported from"
        )
    source = Source(name=text, weights=path)
    return _keras_file(source) if source.is_keras else source


def _snapshot_fields(snapshot):
    """What `read_folder` returns, of a repository whose weights may not be there yet."""
    if not is_preset_folder(snapshot.folder):
        return read_folder(snapshot.folder)
    config, transform = read_description(snapshot.folder)
    return {"weights": snapshot.folder / WEIGHTS, "config": config, "transform": transform}


def _text(source):
    """A source as text."""
    try:
        return os.fsdecode(source)
    except TypeError:
        raise InputError(f"a source must be {_KINDS}. Received: {shown(source)}") from None


def _unknown(text, presets):
    names = [*presets, *(name.removesuffix(_SUFFIX) for name in presets)]
    return InputError(
        f"{one_line(text, 300)} is neither a file, nor a directory, nor a preset."
        f"{did_you_mean(text, names)} A source is {_KINDS}. "
        f"Presets (see `keras-poolformer presets`): {', '.join(presets)}"
    )


def fetch_weights(source):
    """Downloads a source's weights unless they are there; says on stderr how far it is.

    Args:
        source: a `Source`.

    Returns:
        The `Source`, with the sha256 that the downloaded weights must have.

    Raises:
        InputError: they cannot be had; the line says how to do it by hand.
        MissingExtraError: a package that downloads is not installed.
    """
    if source.snapshot:
        return dataclasses.replace(source, sha256=huggingface.fetch_weights(source.snapshot))
    if source.download:
        if source.weights.parts[0] == "~":
            remedy = "set KERAS_HOME to a folder"
            raise downloads.unavailable(source.download, downloads.NO_HOME, remedy)
        downloads.download(source.download, source.weights)
        return dataclasses.replace(source, sha256=downloads.known_sha256(source.weights))
    return source


def described_config(source):
    """The `PoolFormerConfig` that is known without weights, or None if only they tell it.

    What lies beside weights that are there anyhow is not believed as much as their shapes.
    """
    fields = (source.architecture if source.snapshot else {}) | source.config
    if not {"depths", "num_classes"} <= fields.keys():
        return None
    config = PoolFormerConfig(**fields)
    return config if config.labels else config.replace(labels=default_labels(config))


def describe(checkpoint, source, layout=None):
    """Returns the `Layout` and the `PoolFormerConfig` of a checkpoint read from a source."""
    tensors = layouts.normalize_names(checkpoint.tensors)
    row = layouts.get_layout(layout) if layout else layouts.detect_layout(tensors)
    shapes = {name: array.shape for name, array in tensors.items()}
    known = dict(source.config)
    absent = sorted({f"{row.head}.weight", f"{row.head}.bias"} - shapes.keys())
    if len(absent) == 1:
        raise InputError(f"{source.name} (layout {row.name}) lacks {absent[0]}")
    told = None
    if not source.download:  # the classifier's shape tells; a backbone has none
        told = known.pop("num_classes", None)
        known |= {"labels": None} if absent else {}
    config = infer_config(shapes, row, known)
    if told is not None and not absent and told != config.num_classes:
        raise InputError(
            f"{source.name}: config.json and weights must have as many classes. Received: "
            f"num_labels={told}, {config.num_classes} in {row.head}"
        )
    table = layouts.expected_tensors(config, row)
    described = sum(math.prod(tensor.shape) for tensor in table if not tensor.is_head)
    held = sum(math.prod(shape) for shape in shapes.values())
    if described > 4 * held:  # refused before a hostile description costs memory
        raise InputError(f"{source.name} describes {described:,} weights but holds {held:,}")
    if config.labels is None:
        config = config.replace(labels=default_labels(config))
    return row, config


def transform_options(source):
    """Returns the arguments of `ImageTransform` that belong to a source.

    A checkpoint that comes without a description is read to tell which variant it is.
    """
    source = resolve(source)
    if source.transform:
        return source.transform
    if source.is_keras:
        return default_transform(PoolFormerConfig(**source.config))
    if config := described_config(source):
        return default_transform(config)
    source = fetch_weights(source)
    _, config = describe(readers.read_checkpoint(source.weights), source)
    return default_transform(config)


def default_transform(config):
    """Arguments of `ImageTransform` for a checkpoint that says nothing about its images."""
    for name, variant in VARIANTS.items():
        if (variant.depths, variant.widths) == (config.depths, config.widths):
            return {"crop_pct": _RELEASED[name][0]}
    return {}


def default_labels(config):
    """ImageNet's class names for a released architecture with 1,000 classes, else None."""
    released = {(variant.depths, variant.widths) for variant in VARIANTS.values()}
    if config.num_classes != 1000 or (config.depths, config.widths) not in released:
        return None
    return _imagenet_labels()


@functools.cache
def _imagenet_labels():
    return read_labels(ASSETS / "imagenet_labels.txt", num_classes=1000)


@functools.cache
def _presets():
    sources = [_tiny_cifar10(), *(_released(name) for name in _RELEASED)]
    return {source.name: source for source in sources}


def _tiny_cifar10():
    folder = ASSETS / "poolformer_tiny_cifar10"
    card = read_json(folder / "preset.json")
    return Source(
        name="poolformer_tiny_cifar10",
        weights=folder / "model.safetensors",
        config={"labels": CIFAR10_LABELS, "layer_scale_init": card["layer_scale_init"]},
        transform={"size": 64, "crop_pct": 1.0},
        sha256=card["sha256"],
        description=f"{card['parameters'] / 1e6:.1f} M parameters, CIFAR-10 at 64 pixels, "
        f"{card['top1']:.1f} % top-1, inside this package",
        top1=card["top1"],
    )


def _released(name):
    crop_pct, top1 = _RELEASED[name]
    variant = VARIANTS[name]
    url = f"{RELEASE}/{name}.pth.tar"
    return Source(
        name=f"{name}{_SUFFIX}",
        weights=_cache_folder() / f"{name}.pth.tar",
        config=variant.to_dict() | {"labels": _imagenet_labels()},
        transform={"crop_pct": crop_pct},
        download=url,
        description=f"ImageNet-1k at 224 pixels, {top1} % top-1 (paper), {url}",
        top1=top1,
    )


def _cache_folder():
    """Keras' own cache; the path keeps its "~" where there is no home directory."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111
    return Path(home) / "models" / "keras_poolformer"


def _keras_file(source):
    archive = read_keras_archive(source.weights)
    transform = archive.provenance.get("transform") or {}
    return dataclasses.replace(source, config=archive.config, transform=transform)
