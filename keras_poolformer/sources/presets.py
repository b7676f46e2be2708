"""The named presets: the weights that sail-sg released, and a small network in this package."""

import os
from collections.abc import Callable
from pathlib import Path

from keras_poolformer.config import VARIANTS
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources.released import CIFAR10_LABELS as CIFAR10_LABELS
from keras_poolformer.sources.released import RELEASES, imagenet_labels
from keras_poolformer.sources.torch_source import TorchSource
from keras_poolformer.support.json_files import read_json

RELEASE = "https://github.com/sail-sg/poolformer/releases/download/v1.0"
_TINY = "poolformer_tiny_cifar10"
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
    released = {f"{name}{_SUFFIX}": lambda name=name: _released(name) for name in RELEASES}
    return {_TINY: _tiny_cifar10, **released}


def _tiny_cifar10() -> TorchSource:
    folder = ASSETS / _TINY
    card = read_json(folder / "preset.json")
    return TorchSource(
        name=_TINY,
        weights=folder / "model.safetensors",
        config={"labels": CIFAR10_LABELS, "layer_scale_init": card["layer_scale_init"]},
        transform=ImageTransform(size=64, crop_pct=1.0),
        sha256=card["sha256"],
        description=f"{card['parameters'] / 1e6:.1f} M parameters, CIFAR-10 at 64 pixels, "
        f"{card['top1']:.1f} % top-1, inside this package",
    )


def _released(name: str) -> TorchSource:
    release = RELEASES[name]
    url = f"{RELEASE}/{name}.pth.tar"
    return TorchSource(
        name=f"{name}{_SUFFIX}",
        weights=_cache_folder() / f"{name}.pth.tar",
        config=VARIANTS[name].to_dict() | {"labels": imagenet_labels()},
        transform=ImageTransform(crop_pct=release.crop_pct),
        download=url,
        description=f"ImageNet-1k at 224 pixels, {release.top1} % top-1 (paper), {url}",
    )


def _cache_folder() -> Path:
    """Keras' own cache; the path keeps its "~" where there is no home directory."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111
    return Path(home) / "models" / "keras_poolformer"
