"""What a recipe becomes on a checkpoint: its architecture and transform, save what was chosen."""

import dataclasses
from dataclasses import dataclass

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.images.options import as_pair
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.training.recipe import fields_of

CHANNELS = 3  # of the images that training reads
# Always the recipe's: regularization belongs to the training, not to the weights.
_REGULARIZATION = ("drop_path_rate", "dropout_rate")
# Fields that can differ from the checkpoint's; of a chosen activation, head or pool size the
# weights know nothing, and a first convolution for other channels is adapted.
_OVERRIDABLE = ("activation", "head", "in_channels", "initializer_range", "pool_size")


@dataclass(frozen=True)
class StartingPoint:
    """What is known of the weights that a run begins with.

    Args:
        config: `PoolFormerConfig` of the checkpoint.
        transform: `ImageTransform` of the checkpoint.
        fresh_classifier: Whether its classifier was replaced by a new one.
    """

    config: PoolFormerConfig
    transform: ImageTransform
    fresh_classifier: bool


def config_on(recipe, config, class_names, init):
    """The architecture that a recipe trains on a checkpoint.

    Args:
        recipe: A `Recipe`.
        config: `PoolFormerConfig` of the checkpoint.
        class_names: Names of the data's classes.
        init: Name of the checkpoint, for errors.

    Returns:
        The `PoolFormerConfig` of the model to train.

    Raises:
        InputError: A chosen field contradicts the weights.
    """
    names = [name for name in fields_of(PoolFormerConfig) if name in recipe.chosen]
    replaced = {name: getattr(recipe.config, name) for name in _REGULARIZATION}
    for name in names:
        value, found = getattr(recipe.config, name), getattr(config, name)
        if name not in (*_OVERRIDABLE, *_REGULARIZATION) and value != found:
            raise InputError(
                f"`{name}` comes from the weights of {init}, where it is {found}: leave it out. "
                f"Received: {name}={shown(value)}"
            )
        replaced[name] = value
    return for_classes(config.replace(**replaced, feature_norms=False), class_names)


def for_classes(config, class_names):
    """The architecture for the classes of the data, of which each image has one."""
    return config.replace(
        num_classes=len(class_names), labels=tuple(class_names), problem_type=None
    )


def check_channels(config):
    """Rejects a network for images that training does not read.

    Raises:
        InputError: The network is not for RGB images.
    """
    if config.in_channels != CHANNELS:
        raise InputError(
            f"training reads RGB images, of {CHANNELS} channels: set in_channels={CHANNELS}, "
            f"to which trained weights are adapted. Received: in_channels={config.in_channels}"
        )


def needs_fresh_classifier(recipe, config, class_names):
    """Whether the classifier of a checkpoint is replaced by a new one.

    Args:
        recipe: A `Recipe`.
        config: `PoolFormerConfig` of the checkpoint.
        class_names: Names of the data's classes.
    """
    if recipe.classifier == "fresh" or config.num_classes != len(class_names):
        return True
    others = config.labels is not None and config.labels != tuple(class_names)
    return recipe.classifier == "auto" and others


def recipe_on(recipe, config, transform):
    """The recipe with what is really trained: the model's config, the checkpoint's transform.

    Args:
        recipe: A `Recipe`.
        config: `PoolFormerConfig` of the model.
        transform: `ImageTransform` of the checkpoint, of which mean, std, crop and interpolation
            are kept unless they were chosen; its size is the recipe's.
    """
    chosen = {
        name: getattr(recipe.transform, name)
        for name in fields_of(ImageTransform)
        if name in recipe.chosen and (name != "interpolation" or _shares_interpolation(recipe))
    }
    transform = _at_size(transform, recipe.transform.size).replace(**chosen)
    mean, std = _seen_statistics(transform)
    augmentation = dataclasses.replace(recipe.augmentation, mean=mean, std=std)
    return dataclasses.replace(
        recipe, config=config, transform=transform, augmentation=augmentation
    )


def _shares_interpolation(recipe):
    return recipe.augmentation.interpolation == recipe.transform.interpolation


def _at_size(transform, size):
    """The transform for square images of another size; the crop keeps its share of the image."""
    options = {"size": size, "crop_size": None, "do_resize": True, "do_center_crop": True}
    if transform.crop_size is not None:
        cropped, resized = (as_pair(side)[0] for side in (transform.crop_size, transform.size))
        options["crop_pct"] = min(1.0, cropped / resized)
    return transform.replace(**options)


def _seen_statistics(transform):
    """Mean and std, of values from 0 to 1, that normalize as the transform does."""
    unit = 255 * transform.rescale_factor if transform.do_rescale else 255.0
    if not transform.do_normalize:
        return (0.0,) * CHANNELS, (1 / unit,) * CHANNELS
    return tuple(
        tuple(value / unit for value in values) for values in (transform.mean, transform.std)
    )
