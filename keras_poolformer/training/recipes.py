"""The training recipes: readable functions, and for ImageNet the rows of `imagenet`.

`RECIPE_SUMMARIES` of the package has a line on each for --help.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.data.augmentation.segmentation import SegmentationAugmentation
from keras_poolformer.images.segmentation import uncropped
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.models.segmenter import SEGMENTER_FIELDS
from keras_poolformer.sources.segmenters import ade20k_fields
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.training.ade20k import ADE20K
from keras_poolformer.training.imagenet import FINE_TUNED, TRAINED, ImageNetRecipe
from keras_poolformer.training.recipe import OPTIMIZER_DEFAULTS, Recipe

__all__ = ["RECIPES", "Recipe", "get_recipe"]

# The authors have 1e-3 for every 1024 images with AdamW; timm's train.py scales the rate of LAMB
# with the square root.
_BATCH_SCALING = {"adamw": "linear", "lamb": "sqrt"}


def _trained(row: ImageNetRecipe) -> Recipe:
    """Trains on ImageNet-1k as the authors do: 300 epochs of batches of 4096, and 10 to cool down.

    For poolformer_s12 these are 7.2e17 multiply-accumulates forward, and about three times that
    including the backward pass; for the others in proportion to those of an image.

    keras-poolformer train --recipe caformer_s18_in1k --data imagenet2012 --strategy tpu
    """
    size, crop_pct = row.release.size, row.release.crop_pct
    return Recipe(
        config=MetaFormerConfig.from_variant(row.release.variant, **row.regularization),
        augmentation=Augmentation(size=size),
        transform=ImageTransform(size=size, crop_pct=crop_pct),
        warmup_epochs=row.warmup_epochs,
        learning_rate=row.learning_rate,
        batch_scaling=_BATCH_SCALING[row.optimizer],
        optimizer=row.optimizer,
        classifier="keep",
        **OPTIMIZER_DEFAULTS[row.optimizer],
    )


def _fine_tuned(row: ImageNetRecipe) -> Recipe:
    """Fine-tunes the weights of a network on the same images at 384 pixels, at a constant rate.

    keras-poolformer train --recipe caformer_s18_in1k_384 --init caformer_s18_in1k \\
        --data imagenet2012 --strategy tpu
    """
    return dataclasses.replace(
        _trained(row),
        mixing=Mixing(mixup=0.0, cutmix=0.0),
        batch_size=1024,
        epochs=30,
        cooldown_epochs=0,
        schedule="constant",
        ema_decay=0.9999,
        needs_init=True,
    )


def _finetune() -> Recipe:
    """Fine-tunes the weights of --init on classes of your own; minutes to hours on one GPU.

    A fresh classifier learns fast, the pretrained backbone slowly; both rates follow the square
    root of the batch size, which suits AdamW (arXiv 2205.10287). `--set frozen=backbone` trains
    only the classifier, at the same rate. docs/training.md has results of both.

    keras-poolformer train --recipe finetune --init poolformer_s12 --data photos/ --workdir run
    """
    return Recipe(
        config=MetaFormerConfig.from_variant("poolformer_s12", drop_path_rate=0.0),
        augmentation=Augmentation(crop_scale=(0.5, 1.0), rand_augment="", erasing=0.0),
        mixing=Mixing(mixup=0.0, cutmix=0.0),
        batch_size=32,
        epochs=20,
        warmup_epochs=0.5,
        cooldown_epochs=0,
        learning_rate=1.5e-2,
        min_learning_rate=1e-6,
        backbone_learning_rate_scale=0.05,
        batch_scaling="sqrt",
        needs_init=True,
    )


def _ade20k(variant: str) -> Recipe:
    """Trains a segmenter on ADE20K as the authors and mmsegmentation do: 40,000 steps of 32 images.

    By fpn_poolformer_s12_8xb4-40k_ade20k-512x512 of mmsegmentation 1.2.2, from the weights of
    ImageNet. Whole epochs make it 40,384 steps, and the first convolution learns, too.

    keras-poolformer train --recipe semantic_fpn_s12_ade20k --init poolformer_s12 \\
        --data ADEChallengeData2016/ --workdir run
    """
    return _segmentation(
        MetaFormerConfig.from_variant(variant, **ade20k_fields()),
        epochs=64,
        learning_rate=2e-4,
        reduce_zero_label=True,
    )


def _segmentation(config: MetaFormerConfig, size: int = 512, **fields: Any) -> Recipe:
    """What the recipes of segmenters have in common."""
    defaults: dict[str, Any] = {
        "augmentation": SegmentationAugmentation(size=size),
        "batch_size": 32,
        "warmup_epochs": 0.0,
        "cooldown_epochs": 0,
        "min_learning_rate": 0.0,
        "batch_scaling": "sqrt",
        "schedule": "poly",
        "weight_decay": 1e-4,
        "needs_init": True,
    }
    return Recipe(
        config=config,
        mixing=Mixing(mixup=0.0, cutmix=0.0, label_smoothing=0.0),
        transform=uncropped(ImageTransform(), size),
        **{**defaults, **fields},
    )


def _finetune_segmentation() -> Recipe:
    """Trains a segmenter on images and masks of your own, from the weights of --init.

    A classifier's weights get a fresh neck and head, which learn fast; the backbone learns slowly.
    A segmenter's keep theirs.

    keras-poolformer train --recipe finetune_segmentation --init poolformer_s12 --data photos/ \\
        --workdir run
    """
    return _segmentation(
        MetaFormerConfig.from_variant("poolformer_s12", **SEGMENTER_FIELDS),
        batch_size=8,
        epochs=50,
        warmup_epochs=0.5,
        learning_rate=1e-3,
        backbone_learning_rate_scale=0.2,
    )


def _poolformer_tiny_cifar10() -> Recipe:
    """A small PoolFormer on CIFAR-10 at 64 pixels: 85.0 % top-1 in 24 epochs.

    It trains on 45,000 images and validates on 5,000.

    keras-poolformer train --recipe poolformer_tiny_cifar10 --data cifar10 --workdir run
    """
    config = MetaFormerConfig(
        depths=(2, 2, 4, 2),
        widths=(40, 80, 160, 224),
        num_classes=10,
        layer_scale_init=0.1,  # the default of 1e-5 is for 300 epochs and hardly moves in 24
    )
    transform = ImageTransform(size=64, crop_pct=1.0)
    return Recipe(
        config=config,
        augmentation=Augmentation(size=64, crop_scale=(0.6, 1.0), rand_augment="", erasing=0.0),
        mixing=Mixing(mixup=0.0, cutmix=0.0),
        transform=transform,
        batch_size=128,
        epochs=24,
        warmup_epochs=2.0,
        cooldown_epochs=0,
        learning_rate=2e-3,
        held_out=5000,
    )


def _convformer_tiny_cifar10() -> Recipe:
    """The demo's network on CIFAR-10 at 64 pixels: 90.2 % top-1, 107 minutes on two CPU cores.

    It trains on 45,000 images and validates on 5,000.

    keras-poolformer train --recipe convformer_tiny_cifar10 --data cifar10 --workdir run
    """
    return dataclasses.replace(
        _poolformer_tiny_cifar10(),
        config=MetaFormerConfig.from_variant(
            "convformer_s18",
            depths=(2, 5, 2, 1),
            widths=(48, 96, 160, 192),
            num_classes=10,
            head_mlp_ratio=0,
            drop_path_rate=0.0,
            initializer_range=0.06,  # the default of 0.02 is for hundreds of channels
        ),
        augmentation=Augmentation(
            size=64,
            crop_scale=(0.7, 1.0),
            crop_ratio=(0.85, 1 / 0.85),
            rand_augment="",
            erasing=0.0,
        ),
        mixing=Mixing(mixup=0.0, cutmix=1.0, probability=0.5),
        transform=ImageTransform(size=64, crop_pct=0.875),
        epochs=32,
        learning_rate=1.5e-3,
        warmup_epochs=1.0,
        ema_decay=0.998,
    )


def _poolformer_tiny_nuclei() -> Recipe:
    """The demo's segmenter, from `poolformer_tiny_cifar10`: nuclei of cells.

    It trains on 532 images and validates on 66: 89.2 % mIoU after an hour on two busy CPU cores.

    keras-poolformer train --recipe poolformer_tiny_nuclei --init poolformer_tiny_cifar10 \\
        --data nuclei/ --workdir run
    """
    tiny = _poolformer_tiny_cifar10().config
    config = tiny.replace(**SEGMENTER_FIELDS, num_classes=2, neck_width=64, segmentation_width=64)
    return _segmentation(
        config,
        size=256,
        augmentation=SegmentationAugmentation(
            size=256, ratio_range=(0.7, 1.4), cat_max_ratio=1.0, vertical_flip=0.5
        ),
        batch_size=8,
        epochs=16,
        warmup_epochs=1.0,
        learning_rate=2e-3,
        weight_decay=0.05,
        held_out=66,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    **{name: functools.partial(_trained, row) for name, row in TRAINED.items()},
    **{name: functools.partial(_fine_tuned, row) for name, row in FINE_TUNED.items()},
    **{name: functools.partial(_ade20k, release.variant) for name, release in ADE20K.items()},
    "finetune": _finetune,
    "finetune_segmentation": _finetune_segmentation,
    "convformer_tiny_cifar10": _convformer_tiny_cifar10,
    "poolformer_tiny_cifar10": _poolformer_tiny_cifar10,
    "poolformer_tiny_nuclei": _poolformer_tiny_nuclei,
}


def get_recipe(name: str) -> Recipe:
    """Returns a recipe by name.

    Args:
        name: Key of `RECIPES`.

    Raises:
        InputError: There is no such recipe.
    """
    if name not in RECIPES:
        raise InputError(
            f"`recipe` must be one of {', '.join(RECIPES)}.{did_you_mean(name, RECIPES)} "
            f"Received: {shown(name)}"
        )
    return RECIPES[name]()
