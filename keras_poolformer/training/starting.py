"""Adapts a recipe to a checkpoint: architecture and transform, except for what was chosen."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.options import as_pair
from keras_poolformer.images.segmentation import uncropped
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.training.recipe import Recipe, fields_of

CHANNELS = 3  # of training images
# Always the recipe's, because regularization belongs to the training and not to the weights.
_REGULARIZATION = ("drop_path_rate", "dropout_rate", "head_dropout_rate")
# Fields that can differ from the checkpoint's: weights do not depend on activation, head and pool
# size, and the first convolution is adapted to other channels.
_OVERRIDABLE = ("activation", "head", "in_channels", "initializer_range", "pool_size")


@dataclass(frozen=True)
class StartingPoint:
    """The checkpoint that a run starts from.

    Args:
        config: Architecture of the checkpoint.
        transform: Preprocessing of the checkpoint.
        fresh_classifier: Whether its classifier was replaced by a fresh one.
        fresh_neck: Whether a segmenter has only the backbone of the checkpoint.
    """

    config: MetaFormerConfig
    transform: ImageTransform
    fresh_classifier: bool
    fresh_neck: bool = False


def config_on(
    recipe: Recipe, config: MetaFormerConfig, class_names: Sequence[str], init: str
) -> MetaFormerConfig:
    """Returns the architecture of the model that a recipe trains on a checkpoint.

    Args:
        recipe: Recipe of the run.
        config: Architecture of the checkpoint.
        class_names: Class names of the data.
        init: Name of the checkpoint, for errors.

    Raises:
        InputError: A chosen field contradicts the weights.
    """
    names = [name for name in fields_of(MetaFormerConfig) if name in recipe.chosen]
    replaced = {name: getattr(recipe.config, name) for name in _REGULARIZATION}
    for name in names:
        value, found = getattr(recipe.config, name), getattr(config, name)
        if name not in (*_OVERRIDABLE, *_REGULARIZATION) and value != found:
            raise InputError(
                f"`{name}` comes from the weights of {init}, where it is {found}: leave it out. "
                f"Received: {name}={shown(value)}"
            )
        replaced[name] = value
    if not config.is_segmenter:
        replaced["feature_norms"] = False
    return for_classes(config.replace(**replaced), class_names)


def for_classes(config: MetaFormerConfig, class_names: Sequence[str]) -> MetaFormerConfig:
    """Returns the architecture for the classes of the data, one for each image or pixel.

    Args:
        config: Architecture for other classes.
        class_names: Class names of the data.
    """
    same = config.labels is None or config.labels == tuple(class_names)
    same = same and config.num_classes == len(class_names)
    return config.replace(
        num_classes=len(class_names),
        labels=tuple(class_names),
        palette=config.palette if same else None,
        problem_type=None,
    )


def check_images(config: MetaFormerConfig, size: int) -> None:
    """Rejects an architecture for other images than those of the training.

    Args:
        config: Architecture of the model to train.
        size: Side of the training images.

    Raises:
        InputError: Its images are not RGB, or random mixing fixes them to another size.
    """
    if config.in_channels != CHANNELS:
        raise InputError(
            f"training reads RGB images, of {CHANNELS} channels: set in_channels={CHANNELS}, "
            f"to which trained weights are adapted. Received: in_channels={config.in_channels}"
        )
    if config.image_side not in (None, size):
        raise InputError(
            f"`size` must be {config.image_side}, for which the random mixing was made. "
            f"Received: size={size}"
        )


def needs_fresh_classifier(
    recipe: Recipe, config: MetaFormerConfig, class_names: Sequence[str]
) -> bool:
    """Whether the classifier of a checkpoint is replaced by a fresh one.

    Args:
        recipe: Recipe of the run.
        config: Architecture of the checkpoint.
        class_names: Class names of the data.
    """
    if recipe.classifier == "fresh" or config.num_classes != len(class_names):
        return True
    differ = config.labels is not None and config.labels != tuple(class_names)
    return recipe.classifier == "auto" and differ


def recipe_on(recipe: Recipe, config: MetaFormerConfig, transform: ImageTransform) -> Recipe:
    """Returns the effective recipe, with the model's config and the checkpoint's transform.

    Args:
        recipe: Recipe of the run.
        config: Architecture of the model.
        transform: Preprocessing of the checkpoint. Its mean, std, crop and interpolation are kept
            unless they were chosen; the size is the recipe's. A segmenter's has the recipe's
            interpolation, and crops nothing.
    """
    chosen = {
        name: getattr(recipe.transform, name)
        for name in fields_of(ImageTransform)
        if name in recipe.chosen and (name != "interpolation" or _shares_interpolation(recipe))
    }
    size = recipe.transform.size
    transform = uncropped(transform, size) if config.is_segmenter else _at_size(transform, size)
    transform = transform.replace(**chosen)
    mean, std = _seen_statistics(transform)
    augmentation = dataclasses.replace(recipe.augmentation, mean=mean, std=std)
    return dataclasses.replace(
        recipe, config=config, transform=transform, augmentation=augmentation
    )


def _shares_interpolation(recipe: Recipe) -> bool:
    shared = getattr(recipe.augmentation, "interpolation", None)  # masks are not interpolated
    return shared == recipe.transform.interpolation


def _at_size(transform: ImageTransform, size: Any) -> ImageTransform:
    """The transform for square images of another size, with the same fraction cropped."""
    options: dict[str, Any] = {
        "size": size,
        "crop_size": None,
        "do_resize": True,
        "do_center_crop": True,
    }
    if transform.crop_size is not None:
        cropped, resized = (as_pair(side)[0] for side in (transform.crop_size, transform.size))
        options["crop_pct"] = min(1.0, cropped / resized)
    return transform.replace(**options)


def _seen_statistics(
    transform: ImageTransform,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std, for values from 0 to 1, that normalize as the transform does."""
    unit = 255 * transform.rescale_factor if transform.do_rescale else 255.0
    if not transform.do_normalize:
        return (0.0,) * CHANNELS, (1 / unit,) * CHANNELS
    mean = tuple(value / unit for value in transform.mean)
    return mean, tuple(value / unit for value in transform.std)
