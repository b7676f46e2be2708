"""Loads models that Keras saved, as they were or with another architecture around them."""

import contextlib
import dataclasses
import tempfile
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

import keras

from keras_poolformer.checkpoints.quantization import MODE, is_quantized
from keras_poolformer.checkpoints.tensors import feature_norm_path
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.freezing import copy_trainable, restore_trainable
from keras_poolformer.models.registration import import_classes
from keras_poolformer.models.weights import STEM, copy_weights
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.saved import SavedWeights, WeightFiles
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line

_KERAS_ERRORS = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    UserWarning,
    ValueError,
)


def load_saved(
    saved: SavedWeights, provenance: Provenance, dtype: Any = None, name: str | None = None
) -> Any:
    """Returns a model of the class and with the weights that it was saved with.

    Args:
        saved: Its weights.
        provenance: Provenance of the model.
        dtype: Dtype policy, or None for the saved one.
        name: Name of the model, or None for a new one.

    Raises:
        InputError: The weights cannot be read, or are not finite.
    """
    description = saved.description
    import_classes()
    registered = keras.saving.get_registered_object(f"keras_poolformer>{description.class_name}")
    with _temporary_folder(saved.name) as folder:
        files = saved.extract(folder)
        dtype = dtype or description.dtype
        model = cast(type, registered)(description.config, provenance, name, dtype)
        if description.quantized:
            model.quantize(MODE)
        restore_trainable(model, description.trainable)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # that some weights stay fresh
                _load_weights(model, files)
        except _KERAS_ERRORS as error:
            raise InputError(
                f"{saved.name}: its weights cannot be read: {one_line(error, 300)}"
            ) from None
    _check_finite(model, saved.name)
    return model


def _load_weights(model: Any, files: WeightFiles) -> None:
    if files.head is None:
        model.load_weights(files.model)
        return
    model.backbone.load_weights(files.model)
    # A segmenter's graph has the layers of its backbone, a classifier's has it as one layer.
    backbone = [model.backbone, *model.backbone.layers, *model.backbone.feature_norm_layers]
    keras.saving.load_weights(model, files.head, objects_to_skip=backbone)


def rebuilt(
    saved: Any,
    model_class: type,
    config: MetaFormerConfig,
    overridden: Collection[str] = (),
    name: str | None = None,
) -> Any:
    """Returns a model of another class or architecture with the weights of a saved one.

    Args:
        saved: The model as it was saved.
        model_class: Class of the new model.
        config: Architecture of the new model.
        overridden: Fields of the config that the user set, and so are not assumed.
        name: Name of the new model, or None.

    Raises:
        InputError: The weights do not fit the architecture.
    """
    model: Any = model_class(config, None, name, saved.dtype_policy)
    fresh = _fresh(saved, model)
    if is_quantized(saved) and getattr(model, "head", None) and not fresh:
        model.quantize(MODE)
    model.provenance = _provenance(saved, config, fresh, overridden)
    copy_weights(saved, model, fresh)
    copy_trainable(saved, model, fresh)
    return model


def _fresh(saved: Any, model: Any) -> tuple[str, ...]:
    """Paths of the variables that a saved model has no values for."""
    config = model.config
    saved_config = saved.config
    fresh = [
        f"{feature_norm_path(stage)}/"
        for stage, level in enumerate(config.levels)
        if level in config.normed_levels and level not in saved_config.normed_levels
    ]
    has_head = any(variable.path.startswith("head") for variable in saved.weights)
    if config.is_segmenter and not (has_head and saved_config.is_segmenter):
        fresh += ["neck", "head"]
    elif has_new_head(config, saved_config):
        is_other_task = config.is_segmenter != saved_config.is_segmenter
        fresh.append("head/" if has_head and not is_other_task else "head")
    paths = [variable.path for variable in model.weights]
    return tuple(path for path in paths if path.startswith(tuple(fresh)))


def has_new_head(config: MetaFormerConfig, source_config: MetaFormerConfig) -> bool:
    """Whether the last layer of a model starts fresh: for other classes, or for another task.

    Args:
        config: Architecture of the model.
        source_config: Architecture of the network that its weights come from.
    """
    is_other_task = config.is_segmenter != source_config.is_segmenter
    return is_other_task or config.num_classes != source_config.num_classes


def _provenance(
    saved: Any, config: MetaFormerConfig, fresh: tuple[str, ...], overridden: Collection[str]
) -> Provenance:
    """The provenance of a saved model's weights in a model with another config."""
    provenance: Provenance = saved.provenance
    if provenance.weights:
        weights = dataclasses.replace(provenance.weights, head=config.head)
        provenance = provenance.replace(weights=weights.without_assumptions(overridden))
    if fresh or has_new_head(config, saved.config):
        provenance = provenance.replace(new_tensors=fresh)
    if config.in_channels != saved.config.in_channels:
        provenance = provenance.replace(adapted_tensors=(STEM,))
    return provenance


@contextlib.contextmanager
def _temporary_folder(name: str) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    except OSError as error:
        raise InputError(
            f"{name}: its weights cannot be unpacked to a temporary folder: "
            f"{one_line(error, 300)}; set TMPDIR to another folder"
        ) from None


def _check_finite(model: Any, name: str) -> None:
    for variable in model.weights:
        if not keras.ops.all(keras.ops.isfinite(variable)):
            raise InputError(f"{name}: {variable.path} must hold finite weights")
