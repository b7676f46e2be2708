"""What the classes for KerasHub load from: its own presets, or sources of this package."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import keras

from keras_poolformer import sources
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.weights import copy_weights
from keras_poolformer.sources.kerashub import HEAD_FIELDS, KerasHubSource

Model = TypeVar("Model", bound=keras.Model)

_FIELDS = {field.name for field in dataclasses.fields(MetaFormerConfig)}


def is_kerashub_preset(
    preset: str | os.PathLike[str], backbone_class: type, options: Mapping[str, Any]
) -> bool:
    """Whether KerasHub itself can load a preset, with a backbone of this class.

    It cannot change the network around saved weights, such as its `feature_norms`.

    Args:
        preset: Name, path or URI.
        backbone_class: Class that the backbone must have.
        options: Options of `from_preset`.

    Raises:
        InputError: It is neither a preset of KerasHub nor a source of this package.
    """
    text = os.fspath(preset)
    if "://" in text and not text.startswith("hf://"):
        return True
    source = sources.resolve(preset)
    if not isinstance(source, KerasHubSource) or (options.keys() & _FIELDS) - {*HEAD_FIELDS}:
        return False
    saved_class = keras.saving.get_registered_object(source.backbone_name)
    return isinstance(saved_class, type) and issubclass(saved_class, backbone_class)


def split_fields(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the fields of `MetaFormerConfig` among some options, and the other options."""
    fields = {name: value for name, value in options.items() if name in _FIELDS}
    return fields, {name: value for name, value in options.items() if name not in _FIELDS}


def with_weights_of(core: keras.Model, model: Model) -> Model:
    """Returns a model of KerasHub, after it got the weights of the same network.

    Args:
        core: Model of this package.
        model: Model of KerasHub around the same graph.
    """
    copy_weights(core, model)
    return model
