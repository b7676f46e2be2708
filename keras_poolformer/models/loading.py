"""From a source of weights to a Keras model that has them, and knows where they are from."""

import contextlib
import dataclasses
import hashlib
import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import cast

import keras
import numpy as np

from keras_poolformer.checkpoints import layouts, transplant
from keras_poolformer.checkpoints.assumptions import assumed_fields, with_named_norm
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.quantization import MODE
from keras_poolformer.checkpoints.stem import adapt_stem
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.images.transform import ImageTransform, checked_transform
from keras_poolformer.models.freezing import copy_trainable, restore_trainable
from keras_poolformer.sources import presets
from keras_poolformer.sources.keras_archive import describe_keras_file
from keras_poolformer.sources.keras_weights import check_weights, extract_weights
from keras_poolformer.sources.preset_folder import write_preset_folder
from keras_poolformer.sources.source_folders import check_described_size
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.regular_files import open_regular
from keras_poolformer.support.version import __version__

STEM = "stages_0_embedding/projection/kernel"
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


def load_preset(
    model_class,
    source,
    load_weights=True,
    overrides=None,
    layout=None,
    use_ema=True,
    sha256=None,
    progress=None,
    arguments=None,
):
    """Builds the model of a source and loads its weights.

    Args:
        model_class: `PoolFormerImageClassifier` or `PoolFormerBackbone`.
        source: a `presets.Source`, or what `presets.resolve` takes.
        load_weights: False builds the architecture with fresh weights.
        overrides: fields of `PoolFormerConfig` that replace the source's.
        layout: "sail", "timm", "hf", or None to tell by the names of the tensors.
        use_ema: whether averaged weights are preferred where a checkpoint has both.
        sha256: that the file must have, or None.
        progress: called with (bytes read, bytes in all), or None.
        arguments: Further arguments of the class, `dtype` and `name`, or None.

    Raises:
        InputError: the source cannot be found, read, or does not fit.
    """
    source, overrides = presets.resolve(source), dict(overrides or {})
    arguments = dict(arguments or {})
    if source.is_keras:
        if layout or not use_ema:
            option = "--layout" if layout else "--no-ema"
            raise InputError(f"{source.name}: {option} applies to PyTorch checkpoints only")
        source = presets.fetch_weights(source)
        with _opened(source, sha256 or source.sha256) as file:
            return _load_keras(model_class, source, file, load_weights, overrides, arguments)
    overrides = model_class.fixed_fields | overrides
    if not load_weights and (own := presets.described_config(source)):
        check_described_size(source.weights, own, source.name)
        return model_class(_override(own, overrides), _origin(source, own), **arguments)
    source = presets.fetch_weights(source)
    checkpoint = read_checkpoint(source.weights, use_ema=use_ema, progress=progress)
    _check_sha256(source, checkpoint.sha256, sha256 or source.sha256)
    row, own = presets.describe(checkpoint, source, layout)
    own = with_named_norm(own, source, checkpoint, overrides)
    config = _override(own, overrides)
    model = model_class(config, _origin(source, own), **arguments)
    if load_weights:
        new_classifier = config.num_classes != own.num_classes
        assumed = assumed_fields(source, overrides, config)
        adapted = config.in_channels != own.in_channels
        if adapted:
            checkpoint = _with_channels(checkpoint, row, config.in_channels)
        filled = _shared_norms(config, own)
        transplant.load_checkpoint(model, checkpoint, row.name, new_classifier, filled)
        model.provenance = dict(model.provenance) | _origin(source, own) | {"assumed": assumed}
        if adapted:
            model.provenance["adapted_tensors"] = [STEM]
    return model


def save_preset(model, folder, transform=None, overwrite=False):
    """Writes a folder that `load_preset` reads; see `PoolFormerModel.save_to_preset`."""
    transform = checked_transform(transform) or image_transform(model)
    write_preset_folder(model, folder, transform.to_dict(), overwrite)


def image_transform(model):
    """The `ImageTransform` that a model's provenance names, or the one of its architecture."""
    options = (model.provenance or {}).get("transform")
    return ImageTransform.from_dict(options or presets.default_transform(model.config))


def _override(config, overrides):
    classes = overrides.get("num_classes", config.num_classes)
    if classes != config.num_classes:
        overrides = {"labels": None, **overrides}
    return config.replace(**overrides)


def _check_sha256(source, received, expected):
    if expected and received != expected.lower():
        again = f"; to download it again, delete {source.downloaded}" if source.downloaded else ""
        raise InputError(
            f"{source.weights} must have the sha256 {expected}. Received: "
            f"{received}, so the file is damaged or another one{again}"
        )


def _origin(source, config):
    """What is known of a source before its weights are loaded."""
    options = source.transform or presets.default_transform(config)
    is_path = Path(source.name) in (source.weights, source.weights.parent)
    return {
        "source": source.weights.name if is_path else source.name,
        "transform": ImageTransform.from_dict(options).to_dict(),
        "keras_poolformer": __version__,
        **({"hf_unused": source.unused} if source.unused else {}),
    }


@contextlib.contextmanager
def _opened(source, sha256):
    """A .keras file, open for reading; with a checksum, its bytes as they were when it held."""
    with open_regular(source.weights) as file:
        if not sha256:
            yield file
            return
        data = file.read()
        _check_sha256(source, hashlib.sha256(data).hexdigest(), sha256)
        yield io.BytesIO(data)


def _load_keras(model_class, source, file, load_weights, overrides, arguments):
    archive = describe_keras_file(file, source.name)
    if source.config != archive.config:
        raise InputError(
            f"{source.name} does not hold the model that was described: save or download it again"
        )
    if source.transform:
        archive.provenance["transform"] = ImageTransform.from_dict(source.transform).to_dict()
    own = PoolFormerConfig(**archive.config)
    check_described_size(source.weights, own, source.name)
    config = _override(own, model_class.fixed_fields | overrides)
    if not load_weights:
        return model_class(config, _origin(source, own), **arguments)
    arguments["dtype"] = arguments.get("dtype") or archive.dtype
    saved = _load_saved(source, file, archive, own, arguments)
    if type(saved) is model_class and config == own:
        return saved
    provenance = archive.provenance | {"head": config.head}
    if isinstance(assumed := provenance.get("assumed"), dict):
        provenance["assumed"] = {n: value for n, value in assumed.items() if n not in overrides}
    if config.in_channels != own.in_channels:
        provenance["adapted_tensors"] = [STEM]
    model = model_class(config, **arguments)
    fresh = _fresh(saved, model, config, own)
    if archive.quantized and getattr(model, "head", None) and not fresh:
        model.quantize(MODE)
    if fresh or config.num_classes != own.num_classes:
        provenance["new_tensors"] = fresh
    model.provenance = provenance
    copy_weights(saved, model, fresh)
    copy_trainable(saved, model, fresh)
    return model


def _load_saved(source, file, archive, config, arguments):
    """The model of a .keras file, of the class and with the weights that it was saved with."""
    registered = f"keras_poolformer>{archive.class_name}"
    saved_class = cast(type, keras.saving.get_registered_object(registered))
    with _temporary_folder(source) as folder:
        weights = Path(folder) / "model.weights.h5"  # a suffix that Keras asks for
        extract_weights(file, weights, source.name)
        check_weights(weights, config, archive.is_backbone, source.name)
        saved = saved_class(config, archive.provenance or None, **arguments)
        if archive.quantized:
            saved.quantize(MODE)
        restore_trainable(saved, archive.trainable)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # that some weights stay fresh
                saved.load_weights(weights)
        except _KERAS_ERRORS as error:
            raise InputError(
                f"{source.name}: its weights cannot be read: {one_line(error, 300)}"
            ) from None
    _check_finite(source, saved)
    return saved


@contextlib.contextmanager
def _temporary_folder(source):
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    except OSError as error:
        raise InputError(
            f"{source.name}: its weights cannot be unpacked to a temporary folder: "
            f"{one_line(error, 300)}; set TMPDIR to another folder"
        ) from None


def _check_finite(source, model):
    for variable in model.weights:
        if not keras.ops.all(keras.ops.isfinite(variable)):
            raise InputError(f"{source.name}: {variable.path} must hold finite weights")


def _with_channels(checkpoint, row, channels):
    """The checkpoint with a first convolution for images of other channels."""
    name = f"{row.stem}.weight"
    stem = adapt_stem(checkpoint.tensors[name], channels)
    return dataclasses.replace(checkpoint, tensors=checkpoint.tensors | {name: stem})


def _shared_norms(config, own):
    """The config with those norms only that the source has too; others start fresh."""
    shared = [level for level in config.normed_levels if level in own.normed_levels]
    return config.replace(feature_norms=shared)


def _fresh(saved, model, config, own):
    """Paths of the variables that a saved model with the config `own` has no values for."""
    fresh = [
        f"{layouts.feature_norm_path(stage)}/"
        for stage, level in enumerate(config.levels)
        if level in config.normed_levels and level not in own.normed_levels
    ]
    if config.num_classes != own.num_classes:
        has_head = any(variable.path.startswith("head") for variable in saved.weights)
        fresh.append("head/" if has_head else "head")
    return [variable.path for variable in model.weights if variable.path.startswith(tuple(fresh))]


def copy_weights(old, model, fresh=()):
    """Copies variables by path.

    Args:
        old: the model that has them.
        model: that gets them.
        fresh: paths that keep their values.

    Raises:
        InputError: a variable is missing or has another shape. Only the first convolution
            is adapted, to another number of image channels.
    """
    values = {variable.path: variable for variable in old.variables}
    for variable in model.weights:
        if variable.path in fresh:
            continue
        value = values.get(variable.path)
        if variable.path == STEM and value is not None:
            kernel = np.asarray(keras.ops.convert_to_numpy(value)).transpose(3, 2, 0, 1)
            value = adapt_stem(kernel, variable.shape[2]).transpose(2, 3, 1, 0)
        if value is None or value.shape != variable.shape:
            found = "no such variable" if value is None else f"shape {tuple(value.shape)}"
            raise InputError(
                f"the saved model does not fit: {variable.path} must have shape "
                f"{tuple(variable.shape)}. Received: {found}"
            )
        variable.assign(value)


def provenance_json(model):
    """A model's provenance as the text of a JSON file."""
    return json.dumps(model.get_config()["provenance"], indent=2, sort_keys=True) + "\n"
