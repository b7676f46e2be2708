"""Builds Keras models from the contents of a source."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from keras_poolformer.checkpoints.stem import adapt_stem
from keras_poolformer.checkpoints.transplant import NamedTensors, assign_tensors
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.keras_files import has_new_head, load_saved, rebuilt
from keras_poolformer.models.weights import STEM
from keras_poolformer.sources.source import Contents

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel

Model = TypeVar("Model", bound="MetaFormerModel")


def build(
    model_class: type[Model],
    contents: Contents,
    overrides: Mapping[str, Any] | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Model:
    """Builds the model of a source, with its weights if the contents have any.

    Args:
        model_class: `MetaFormerImageClassifier`, `MetaFormerSegmenter` or `MetaFormerBackbone`.
        contents: What was read from the source.
        overrides: Fields of `MetaFormerConfig` that replace the source's.
        dtype: Dtype policy; by default that of a .keras file, else Keras' global one.
        name: Name of the model; by default a new one.

    Raises:
        InputError: An override is not valid, or the weights do not fit the model.
    """
    overrides = overrides or {}
    for field, warning in contents.warnings.items():
        if field not in overrides:
            warnings.warn(warning, stacklevel=3)
    config = _override(model_class, contents.config, overrides)
    if contents.saved:
        saved = load_saved(contents.saved, contents.provenance, dtype, name)
        if type(saved) is model_class and config == contents.config:
            return saved
        return rebuilt(saved, model_class, config, overrides, name)
    model = model_class(config, contents.provenance, name, dtype)
    if contents.named:
        file = contents.named.file.without_assumptions(overrides)
        _assign(model, dataclasses.replace(contents.named, file=file), contents.config)
    return model


def _override(
    model_class: type[Model], config: MetaFormerConfig, overrides: Mapping[str, Any]
) -> MetaFormerConfig:
    required = {
        field: value
        for field, value in model_class.required_fields(config).items()
        if getattr(config, field) != value
    }
    changes = {**required, **overrides}
    if changes.get("num_classes", config.num_classes) != config.num_classes:
        changes = {"labels": None, "palette": None, **changes}
    return config.replace(**changes) if changes else config


def _assign(model: "MetaFormerModel", named: NamedTensors, source_config: MetaFormerConfig) -> None:
    """Loads tensors into a model whose config may differ from that of their source."""
    config = model.config
    if config.in_channels != source_config.in_channels:
        named = _with_channels(named, config.in_channels)
    # Norms of stages that the checkpoint has none for start fresh.
    shared = tuple(level for level in config.normed_levels if level in source_config.normed_levels)
    filled = config if shared == config.normed_levels else config.replace(feature_norms=shared)
    new_head = has_new_head(config, source_config)
    weights, new_tensors = assign_tensors(model, named, new_head, filled)
    model.provenance = model.provenance.replace(
        weights=weights,
        new_tensors=new_tensors,
        adapted_tensors=(STEM,) if config.in_channels != source_config.in_channels else (),
    )


def _with_channels(named: NamedTensors, channels: int) -> NamedTensors:
    """The tensors with a first convolution for images of another number of channels."""
    stem = f"{named.layout.stem}.weight"
    tensors = {**named.tensors, stem: adapt_stem(named.tensors[stem], channels)}
    return dataclasses.replace(named, tensors=tensors)
