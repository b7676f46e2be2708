"""Opens a Keras model, a SavedModel or a .tflite file, whether it classifies or segments.

Each is loaded once: a description or config, which is read first or with it, tells the task.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from keras_poolformer.evaluation.keras_prediction import predictor
from keras_poolformer.evaluation.saved_model import load_saved_model
from keras_poolformer.evaluation.scorer import Scorer
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.images.files import load_image
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import label_map
from keras_poolformer.labels import read_labels
from keras_poolformer.models.overrides import Size, override_tflite, with_size
from keras_poolformer.runtime.description import SCORES, Description, read_description
from keras_poolformer.support.errors import InputError

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel

Network: TypeAlias = Scorer | Segmenter


def open_network(
    source: str | os.PathLike[str],
    num_workers: int = 1,
    size: Size | None = None,
    labels: str | Path | None = None,
    tiles: bool = False,
) -> Network:
    """Loads whatever classifies or segments images.

    Args:
        source: A .tflite file or a SavedModel directory, both as this package exports them, or
            what `from_preset` takes.
        num_workers: Number of interpreters that share a batch, for a classifier's .tflite file;
            of threads that share an image, for a segmenter's.
        size: Size of the images instead of the source's: a side or (height, width). A .tflite
            file has one size only.
        labels: Text file of class names that replace the source's.
        tiles: Whether a segmenter's .tflite file works through images in overlapping tiles, as
            `TFLiteSegmenter.segment` describes it.

    Raises:
        InputError: The source cannot be used, does not say how its images are prepared, or has no
            tiles.
    """
    description = None
    if str(source).endswith(".tflite") and Path(source).is_file():
        description = read_description(source)
    if description is not None and description.is_segmenter:
        return _tflite_segmenter(source, num_workers, size, labels, tiles)
    if tiles:
        raise InputError(f"tiles need a segmenter's .tflite file. Received: {source}")
    if str(source).endswith(".tflite"):
        return _tflite_classifier(source, num_workers, size, labels)
    if (Path(source) / "saved_model.pb").is_file():
        return _saved_model(Path(source), size, labels)
    # Nothing above needs `sources`, which a board would spend a third of its start on.
    from keras_poolformer.models.opening import load_model

    return keras_network(str(source), load_model(str(source), size=size, labels=labels))


def keras_network(name: str, model: "MetaFormerModel") -> Network:
    """Returns a model of this package as what classifies or segments images.

    Args:
        name: Name of the model, for errors.
        model: Classifier or segmenter.

    Raises:
        InputError: It is something else, or has no classes.
    """
    from keras_poolformer.models.base import MetaFormerModel

    if not isinstance(model, MetaFormerModel):
        raise InputError(
            f"{name} must be a classifier or segmenter of keras_poolformer, or a path. "
            f"Received: {type(model).__name__}"
        )
    if model.config.is_segmenter:
        return _keras_segmenter(name, model)
    return _keras_classifier(name, model)


def open_scorer(
    source: str | os.PathLike[str],
    num_workers: int = 1,
    size: Size | None = None,
    labels: str | Path | None = None,
) -> Scorer:
    """Loads whatever classifies images.

    Args:
        source: As in `open_network`.
        num_workers: As in `open_network`.
        size: As in `open_network`.
        labels: As in `open_network`.

    Raises:
        InputError: As `open_network`; or it is a segmenter.
    """
    network = open_network(source, num_workers, size, labels)
    if isinstance(network, Segmenter):
        raise InputError(f"{source} must be a classifier. Received: a segmenter")
    return network


def _tflite_classifier(
    path: str | os.PathLike[str], num_workers: int, size: Size | None, labels: str | Path | None
) -> Scorer:
    from keras_poolformer.runtime import TFLiteClassifier

    classifier = TFLiteClassifier(path, num_workers=num_workers)
    override_tflite(classifier, size, labels)
    description = _required(path, classifier.description)
    if description.outputs not in SCORES:
        raise InputError(
            f"{path} must return {' or '.join(SCORES)} to classify. Received: {description.outputs}"
        )
    _check(path, classifier.num_classes, classifier.labels, classifier.input_shape[-1])
    return Scorer(
        name=str(path),
        predict=classifier.predict,
        prepare=classifier.prepare,
        num_classes=classifier.num_classes,
        labels=tuple(classifier.labels),
        outputs=description.outputs,
        problem_type=description.problem_type,
    )


def _tflite_segmenter(
    path: str | os.PathLike[str],
    num_threads: int,
    size: Size | None,
    labels: str | Path | None,
    tiles: bool,
) -> Segmenter:
    from keras_poolformer.runtime import TFLiteSegmenter

    segmenter = TFLiteSegmenter(path, num_threads)
    override_tflite(segmenter, size, labels)
    return Segmenter(
        name=str(path),
        segment=partial(segmenter.segment, tiles=tiles),
        num_classes=segmenter.num_classes,
        labels=tuple(segmenter.labels),
        palette=segmenter.palette,
    )


def _saved_model(path: Path, size: Size | None, labels: str | Path | None) -> Network:
    description = _required(path, read_description(path))
    transform = description.transform
    transform = transform if size is None else with_size(transform, size)
    network = load_saved_model(path)
    names = read_labels(labels, network.num_classes) if labels else description.labels
    _check(path, network.num_classes, names, network.channels)
    if description.is_segmenter:
        return Segmenter(
            name=str(path),
            segment=_segment(network.predict, transform),
            num_classes=network.num_classes,
            labels=names,
            palette=description.palette,
        )
    return Scorer(
        name=str(path),
        predict=network.predict,
        prepare=transform,
        num_classes=network.num_classes,
        labels=names,
        fixed_size=transform.output_shape is not None,
        problem_type=description.problem_type,
    )


def _segment(
    predict: Callable[[np.ndarray], np.ndarray], transform: ImageTransform
) -> Callable[[Any], np.ndarray]:
    """A function from an image to its label map, as `MetaFormerSegmenter.predict_labels` is."""

    def segment(image: Any) -> np.ndarray:
        picture = load_image(image)
        prepared = transform([picture])
        return label_map(predict(prepared)[0], prepared.shape[1:3], (picture.height, picture.width))

    return segment


def _keras_classifier(name: str, model: "MetaFormerModel") -> Scorer:
    config, transform = model.config, model.transform
    _check(name, config.num_classes, config.labels, config.in_channels)
    return Scorer(
        name=name,
        predict=predictor(model),
        prepare=transform,
        num_classes=config.num_classes,
        labels=config.labels or (),
        fixed_size=transform.output_shape is not None,
        problem_type=config.problem_type,
    )


def _keras_segmenter(name: str, model: Any) -> Segmenter:
    config = model.config
    _check(name, config.num_classes, config.labels, config.in_channels)
    return Segmenter(
        name=name,
        segment=model.predict_labels,
        num_classes=config.num_classes,
        labels=config.labels or (),
        palette=config.palette,
    )


def _check(source: object, num_classes: int, labels: Sequence[str] | None, channels: int) -> None:
    if not num_classes:
        raise InputError(f"{source} must be a classifier. Received: a network without classes")
    if labels and len(labels) != num_classes:
        raise InputError(
            f"{source} must have a label for each of its {num_classes} classes. "
            f"Received: {len(labels)} labels"
        )
    if channels != 3:
        raise InputError(f"{source} must take RGB images. Received: {channels} channels")


def _required(path: object, description: Description | None) -> Description:
    if description is None:
        raise InputError(
            f"{path} does not say how images are prepared: `keras-poolformer export` writes files "
            f"that do"
        )
    return description
