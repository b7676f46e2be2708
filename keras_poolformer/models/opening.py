"""The model of a source, for commands."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_poolformer import sources
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.models.overrides import Size, override
from keras_poolformer.sources.source import Contents
from keras_poolformer.support.errors import FRAMEWORK, InputError, require_packages
from keras_poolformer.support.garbage import collection_paused

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel


def load_model(
    source: str,
    load_weights: bool = True,
    backbone: bool | None = False,
    overrides: Mapping[str, Any] | None = None,
    size: Size | None = None,
    labels: str | Path | None = None,
    **reading: Any,
) -> "MetaFormerModel":
    """Loads the model of a source. Whatever is wrong with it is reported before Keras is imported.

    Args:
        source: Name, path or URI, as `sources.resolve` takes it.
        load_weights: Whether weights are loaded. False builds the architecture with fresh ones.
        backbone: Whether the head is left out; None leaves it out of what was saved without one.
        overrides: Fields of `MetaFormerConfig` that replace the source's.
        size: Size of the images instead of the source's, as `with_size` takes it, or None.
        labels: Text file of class names instead of the source's, or None.
        **reading: Further arguments of `Source.read`.

    Raises:
        InputError: The source cannot be found or read, or does not fit.
        MissingExtraError: Keras is not installed.
    """
    found = sources.resolve(source)
    if importlib.util.find_spec("keras") is None:  # before weights are downloaded or read
        require_packages(FRAMEWORK)
    mixers = (overrides or {}).get("token_mixers")
    contents = found.read(weights=load_weights, token_mixers=mixers, **reading)
    model = build_model(contents, backbone, overrides)
    override(model, size, labels)
    return model


def load_classifier(source: str, **arguments: Any) -> "MetaFormerModel":
    """Loads the classifier of a source.

    Args:
        source: Name, path or URI, as `sources.resolve` takes it.
        **arguments: Further arguments of `load_model`.

    Raises:
        InputError: As `load_model`; or it is a segmenter.
        MissingExtraError: Keras is not installed.
    """
    model = load_model(source, **arguments)
    if model.config.is_segmenter:
        raise InputError(f"{source} must be a classifier. Received: a segmenter")
    return model


def build_model(
    contents: Contents,
    backbone: bool | None = False,
    overrides: Mapping[str, Any] | None = None,
) -> "MetaFormerModel":
    """Builds the classifier, segmenter or backbone of what was read from a source.

    Args:
        contents: What was read.
        backbone: As in `load_model`.
        overrides: As in `load_model`.
    """
    with collection_paused():
        return _build(contents, backbone, overrides or {})


def _build(
    contents: Contents, backbone: bool | None, overrides: Mapping[str, Any]
) -> "MetaFormerModel":
    from keras_poolformer.models.backbone import PoolFormerBackbone
    from keras_poolformer.models.classifier import PoolFormerImageClassifier
    from keras_poolformer.models.loading import build
    from keras_poolformer.models.segmenter import PoolFormerSegmenter

    if backbone is None:
        backbone = contents.is_backbone
    if backbone:
        return build(PoolFormerBackbone, contents, overrides)
    if overrides.get("head", contents.config.head) == SEMANTIC_FPN:
        return build(PoolFormerSegmenter, contents, overrides)
    return build(PoolFormerImageClassifier, contents, overrides)
