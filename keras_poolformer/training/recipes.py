"""The training recipes, one readable function each, with the expected result and the command.

`RECIPE_SUMMARIES` of the package has a line on each for --help.
"""

from collections.abc import Callable

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.sources.released import default_transform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.training.recipe import Recipe
from keras_poolformer.variants import VARIANTS

__all__ = ["RECIPES", "Recipe", "get_recipe"]


def _imagenet(variant: str) -> Recipe:
    """The authors' recipe (sail-sg README and train.py): AdamW, batch 4096, 300 epochs."""
    config = VARIANTS[variant]
    return Recipe(
        config=config,
        transform=default_transform(config),
        batch_scaling="linear",  # the authors': 1e-3 for every 1024 images
        classifier="keep",
    )


def _poolformer_s12_in1k() -> Recipe:
    """Expected top-1 77.2 % (paper). 310 epochs are 7.2e17 multiply-accumulates forward,
    and about three times that including the backward pass.

    keras-poolformer train --recipe poolformer_s12_in1k --data imagenet2012 --strategy tpu
    """
    return _imagenet("poolformer_s12")


def _poolformer_s24_in1k() -> Recipe:
    """Expected top-1 80.3 % (paper); 1.9 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_s24")


def _poolformer_s36_in1k() -> Recipe:
    """Expected top-1 81.4 % (paper); 2.7 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_s36")


def _poolformer_m36_in1k() -> Recipe:
    """Expected top-1 82.1 % (paper); 4.8 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_m36")


def _poolformer_m48_in1k() -> Recipe:
    """Expected top-1 82.5 % (paper); 6.4 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_m48")


def _finetune() -> Recipe:
    """Fine-tunes the weights of --init on classes of your own; minutes to hours on one GPU.

    A fresh classifier learns fast, the pretrained backbone slowly; both rates follow the square
    root of the batch size, which suits AdamW (arXiv 2205.10287). `--set frozen=backbone` trains
    only the classifier, at the same rate. docs/training.md has results of both.

    keras-poolformer train --recipe finetune --init poolformer_s12 --data photos/ --workdir run
    """
    return Recipe(
        config=VARIANTS["poolformer_s12"].replace(drop_path_rate=0.0),
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


def _poolformer_tiny_cifar10() -> Recipe:
    """The demo's network on CIFAR-10 at 64 pixels: 85.0 % top-1, 86 minutes on two CPU cores.

    It trains on 45,000 images and validates on 5,000.

    keras-poolformer train --recipe poolformer_tiny_cifar10 --data cifar10 --workdir run
    """
    config = PoolFormerConfig(
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


RECIPES: dict[str, Callable[[], Recipe]] = {
    "poolformer_s12_in1k": _poolformer_s12_in1k,
    "poolformer_s24_in1k": _poolformer_s24_in1k,
    "poolformer_s36_in1k": _poolformer_s36_in1k,
    "poolformer_m36_in1k": _poolformer_m36_in1k,
    "poolformer_m48_in1k": _poolformer_m48_in1k,
    "finetune": _finetune,
    "poolformer_tiny_cifar10": _poolformer_tiny_cifar10,
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
