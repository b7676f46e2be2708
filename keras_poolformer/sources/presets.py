"""The named presets: weights of sail-sg and OpenMMLab, and three small networks in this package."""

import os
from collections.abc import Callable
from pathlib import Path

from keras_poolformer.config_fields import SEGMENTER_DROPOUT_RATE
from keras_poolformer.images.segmentation import uncropped
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources.released import CIFAR10_LABELS as CIFAR10_LABELS
from keras_poolformer.sources.released import IMAGENET_CLASSES, RELEASES, imagenet_labels
from keras_poolformer.sources.segmenters import ADDRESS, SEGMENTERS, ade20k_fields
from keras_poolformer.sources.torch_source import TorchSource
from keras_poolformer.support.json_files import read_json
from keras_poolformer.variants import VARIANTS

RELEASE = "https://github.com/sail-sg/poolformer/releases/download/v1.0"
SECOND_PAPER_RELEASE = "https://huggingface.co/sail/dl/resolve/main"
_TINY = {"convformer_tiny_cifar10": 0.875, "poolformer_tiny_cifar10": 1.0}  # their crop_pct
_TINY_SEGMENTER = "poolformer_tiny_nuclei"
_NUCLEI_PALETTE = ((0, 0, 0), (255, 176, 0))
_SUFFIX = "_in1k"  # of the released weights' names; may be left out


def list_presets() -> dict[str, str]:
    """Returns {name: one line of description} of every preset."""
    return {name: make().description for name, make in _presets().items()}


def find_preset(name: str) -> TorchSource | None:
    """Returns the source of a preset, by its name with or without "_in1k"; None if unknown."""
    presets = _presets()
    make = presets.get(name) or presets.get(f"{name}{_SUFFIX}")
    return make() if make else None


def accepted_names() -> list[str]:
    """Returns all names by which presets are found."""
    names = list(_presets())
    return [*names, *(name.removesuffix(_SUFFIX) for name in names)]


def _presets() -> dict[str, Callable[[], TorchSource]]:
    released = {name: lambda name=name: _released(name) for name in RELEASES}
    segmenters = {name: lambda name=name: _segmenter(name) for name in SEGMENTERS}
    tiny = {name: lambda name=name: _tiny_cifar10(name) for name in _TINY}
    return {**tiny, _TINY_SEGMENTER: _tiny_nuclei, **released, **segmenters}


def _tiny_cifar10(name: str) -> TorchSource:
    folder = ASSETS / name
    card = read_json(folder / "preset.json")
    return TorchSource(
        name=name,
        weights=folder / "model.safetensors",
        config={"labels": CIFAR10_LABELS, **card["config"]},
        transform=ImageTransform(size=64, crop_pct=_TINY[name]),
        sha256=card["sha256"],
        description=f"{card['parameters'] / 1e6:.1f} M parameters, CIFAR-10 at 64 pixels, "
        f"{card['top1']:.1f} % top-1, inside this package",
    )


def _tiny_nuclei() -> TorchSource:
    folder = ASSETS / _TINY_SEGMENTER
    card = read_json(folder / "preset.json")
    return TorchSource(
        name=_TINY_SEGMENTER,
        weights=folder / "model.safetensors",
        config={
            "labels": tuple(card["labels"]),
            "palette": _NUCLEI_PALETTE,
            **card["config"],
            "head_dropout_rate": SEGMENTER_DROPOUT_RATE,
        },
        transform=uncropped(ImageTransform(), card["size"]),
        sha256=card["sha256"],
        description=f"segmenter, {card['parameters'] / 1e6:.1f} M parameters, nuclei of cells at "
        f"{card['size']} pixels, {card['held_out_mean_iou']:.1f} % mIoU, inside this package",
    )


def _released(name: str) -> TorchSource:
    release = RELEASES[name]
    url = f"{RELEASE if release.is_first_paper else SECOND_PAPER_RELEASE}/{release.file}"
    is_imagenet = release.num_classes == IMAGENET_CLASSES
    classes = {
        "num_classes": release.num_classes,
        "labels": imagenet_labels() if is_imagenet else None,
    }
    return TorchSource(
        name=name,
        weights=_cache_folder() / Path(release.file).name,
        config=VARIANTS[release.variant].to_dict() | classes,
        transform=ImageTransform(size=release.size, crop_pct=release.crop_pct),
        download=url,
        description=f"{release.description}, {url}",
    )


def _segmenter(name: str) -> TorchSource:
    release = SEGMENTERS[name]
    url = f"{ADDRESS}/{release.file}"
    return TorchSource(
        name=name,
        weights=_cache_folder() / Path(release.file).name,
        config=VARIANTS[release.variant].to_dict() | ade20k_fields(),
        download=url,
        sha256_start=release.sha256_start,
        description=f"{release.description}, {url}",
    )


def _cache_folder() -> Path:
    """Keras' own cache; the path keeps its "~" where there is no home directory."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111
    return Path(home) / "models" / "keras_poolformer"
