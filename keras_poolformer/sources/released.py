"""The released weights, and what comes with them besides their architecture."""

import functools
from typing import Any, NamedTuple

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.labels import read_labels
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources.segmenters import ADE20K_CLASSES, ade20k_labels
from keras_poolformer.variants import find_variant

CIFAR10_LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
IMAGENET_CLASSES = 1000
IMAGENET_21K_CLASSES = 21_841
_SECOND_PAPER_CROP_PCT = 1.0


class Release(NamedTuple):
    """A file of weights that sail-sg released.

    Args:
        variant: Name in `VARIANTS`.
        file: Path of the file below the address of its paper's files (`presets`).
        crop_pct: Fraction of the resized image that the network sees.
        top1: Top-1 accuracy on ImageNet-1k's validation images, in percent, by the paper or the
            authors' README; None for classes of ImageNet-21k.
        size: Side of the images, in pixels.
        num_classes: 1,000 classes of ImageNet-1k or 21,841 of ImageNet-21k.
    """

    variant: str
    file: str
    crop_pct: float
    top1: float | None
    size: int = 224
    num_classes: int = IMAGENET_CLASSES

    @property
    def is_first_paper(self) -> bool:
        """Whether it is a PoolFormer of arXiv 2111.11418."""
        return self.variant.startswith("poolformer_")

    @property
    def description(self) -> str:
        """One line for lists, without the address."""
        if self.top1 is None:
            return f"ImageNet-21k at {self.size} pixels"
        return f"ImageNet-1k at {self.size} pixels, {self.top1} % top-1 (paper)"


# crop_pct by the authors' validation commands, accuracy by table 1 of arXiv 2111.11418.
_FIRST_PAPER = {
    "poolformer_s12": (0.9, 77.2),
    "poolformer_s24": (0.9, 80.3),
    "poolformer_s36": (0.9, 81.4),
    "poolformer_m36": (0.95, 82.1),
    "poolformer_m48": (0.95, 82.5),
}
# Accuracy by the README of sail-sg/metaformer, trained on ImageNet-1k at 224 pixels, ...
_BASIC = {
    "identityformer": {"s12": 74.6, "s24": 78.2, "s36": 79.3, "m36": 80.0, "m48": 80.4},
    "randformer": {"s12": 76.6, "s24": 78.2, "s36": 79.5, "m36": 81.2, "m48": 81.4},
    "poolformerv2": {"s12": 78.0, "s24": 80.7, "s36": 81.6, "m36": 82.2, "m48": 82.6},
}
# ... fine-tuned at 384, and both after training on ImageNet-21k.
_STRONG = {
    "convformer": {
        "s18": (83.0, 84.4, 83.7, 85.0),
        "s36": (84.1, 85.4, 85.4, 86.4),
        "m36": (84.5, 85.6, 86.1, 86.9),
        "b36": (84.8, 85.7, 87.0, 87.6),
    },
    "caformer": {
        "s18": (83.6, 85.0, 84.1, 85.4),
        "s36": (84.5, 85.7, 85.8, 86.9),
        "m36": (85.2, 86.2, 86.6, 87.5),
        "b36": (85.5, 86.4, 87.4, 88.1),
    },
}
# (end of the preset's name, end of the file's name, side of the images) of these four.
_TAGS = (
    ("in1k", "", 224),
    ("in1k_384", "_384", 384),
    ("in21k_in1k", "_in21ft1k", 224),
    ("in21k_in1k_384", "_384_in21ft1k", 384),
)


def _first_paper() -> dict[str, Release]:
    return {
        f"{name}_in1k": Release(name, f"{name}.pth.tar", crop_pct, top1)
        for name, (crop_pct, top1) in _FIRST_PAPER.items()
    }


def _second_paper() -> dict[str, Release]:
    def release(
        variant: str, ending: str, top1: float | None, size: int, num_classes: int
    ) -> Release:
        file = f"{variant.split('_')[0]}/{variant}{ending}.pth"
        return Release(variant, file, _SECOND_PAPER_CROP_PCT, top1, size, num_classes)

    releases: dict[str, Release] = {}
    for family, sizes in _BASIC.items():
        for size, top1 in sizes.items():
            name = f"{family}_{size}"
            releases[f"{name}_in1k"] = release(name, "", top1, 224, IMAGENET_CLASSES)
    for family, sizes in _STRONG.items():
        for size, accuracies in sizes.items():
            name = f"{family}_{size}"
            for (tag, ending, side), top1 in zip(_TAGS, accuracies, strict=True):
                releases[f"{name}_{tag}"] = release(name, ending, top1, side, IMAGENET_CLASSES)
            releases[f"{name}_in21k"] = release(name, "_in21k", None, 224, IMAGENET_21K_CLASSES)
    return releases


RELEASES = _first_paper() | _second_paper()


def default_transform(config: MetaFormerConfig) -> ImageTransform:
    """Returns the transform of weights that come without one.

    Args:
        config: Their architecture: that of a released variant has the variant's transform, and
            random mixing fixes the size.
    """
    options: dict[str, Any] = {}
    if config.is_segmenter:
        side = config.image_side
        return segmentation_transform((side, side)) if side else segmentation_transform()
    if name := find_variant(vars(config)):
        options["crop_pct"] = RELEASES[f"{name}_in1k"].crop_pct
    if side := config.image_side:
        options["size"] = side
    return ImageTransform(**options)


def default_labels(config: MetaFormerConfig) -> tuple[str, ...] | None:
    """Returns the class names of weights that come without any, or None.

    Args:
        config: Their architecture: a released variant with 1,000 classes has ImageNet's, a
            segmenter on one with 150 classes has ADE20K's.
    """
    if config.is_segmenter:
        return ade20k_labels() if has_ade20k_classes(config) else None
    is_released = config.num_classes == IMAGENET_CLASSES and find_variant(vars(config))
    return imagenet_labels() if is_released else None


def has_ade20k_classes(config: MetaFormerConfig) -> bool:
    """Whether weights that come without class names are taken for those of ADE20K.

    Args:
        config: Their architecture: a segmenter on a released variant, with 150 classes.
    """
    is_ade20k = config.is_segmenter and config.num_classes == ADE20K_CLASSES
    return is_ade20k and find_variant(vars(config)) is not None


@functools.cache
def imagenet_labels() -> tuple[str, ...]:
    """Returns the names of the 1,000 classes of ImageNet-1k."""
    return read_labels(ASSETS / "imagenet_labels.txt", num_classes=IMAGENET_CLASSES)
