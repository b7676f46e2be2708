"""What is known about the released variants besides their architecture."""

import functools
from typing import NamedTuple

from keras_poolformer.config import VARIANTS, PoolFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.labels import read_labels
from keras_poolformer.shipped import ASSETS

CIFAR10_LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip


class Release(NamedTuple):
    """Weights of sail-sg: `crop_pct` by their validation commands, `top1` by the paper's table 1.

    Args:
        crop_pct: Fraction of the resized image that the network sees.
        top1: Top-1 accuracy on ImageNet-1k's validation images, in percent.
    """

    crop_pct: float
    top1: float


RELEASES = {
    "poolformer_s12": Release(crop_pct=0.9, top1=77.2),
    "poolformer_s24": Release(crop_pct=0.9, top1=80.3),
    "poolformer_s36": Release(crop_pct=0.9, top1=81.4),
    "poolformer_m36": Release(crop_pct=0.95, top1=82.1),
    "poolformer_m48": Release(crop_pct=0.95, top1=82.5),
}


def default_transform(config: PoolFormerConfig) -> ImageTransform:
    """Returns the transform of weights that come without one.

    Args:
        config: Their architecture: that of a released variant has the variant's transform.
    """
    name = _variant_of(config)
    return ImageTransform(crop_pct=RELEASES[name].crop_pct) if name else ImageTransform()


def default_labels(config: PoolFormerConfig) -> tuple[str, ...] | None:
    """Returns the class names of weights that come without any, or None.

    Args:
        config: Their architecture: a released variant with 1,000 classes has ImageNet's.
    """
    return imagenet_labels() if config.num_classes == 1000 and _variant_of(config) else None


@functools.cache
def imagenet_labels() -> tuple[str, ...]:
    """Returns the names of the 1,000 classes of ImageNet-1k."""
    return read_labels(ASSETS / "imagenet_labels.txt", num_classes=1000)


def _variant_of(config: PoolFormerConfig) -> str | None:
    for name, variant in VARIANTS.items():
        if (variant.depths, variant.widths) == (config.depths, config.widths):
            return name
    return None
