"""One way to run a Keras model, a SavedModel or a .tflite file; heavy imports are inside."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.labels import read_labels
from keras_poolformer.models.opening import load_classifier
from keras_poolformer.models.overrides import Size, override_tflite, with_size
from keras_poolformer.runtime.description import SCORES, Description, read_description
from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.patterns import without_patterns

SIGNATURE = "normalized"
# Problem types whose images have several classes, or none.
_WITHOUT_ONE_CLASS = ("multi_label_classification", "regression")


@dataclass(frozen=True)
class Scorer:
    """A classifier, whatever runs it.

    Args:
        name: Name of the source, for errors.
        predict: Function from a batch of prepared images to the outputs (N, num_classes) of the
            network.
        prepare: Function from an image (a path, an `EncodedImage`, a PIL image or a uint8 array)
            to the array that `predict` takes a batch of.
        num_classes: Number of classes.
        labels: Class names in the order of the classes; () if unknown.
        fixed_size: Whether all prepared images have the same size.
        outputs: What `predict` returns: "logits" or "probabilities".
        problem_type: What the logits mean, as in `MetaFormerConfig`; None where the source does
            not say.
    """

    name: str
    predict: Callable[[np.ndarray], np.ndarray]
    prepare: Callable[[Any], np.ndarray]
    num_classes: int
    labels: tuple[str, ...]
    fixed_size: bool = True
    outputs: str = "logits"
    problem_type: str | None = None

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores a batch.

        Args:
            images: (N, ...). Prepared images.

        Returns:
            (N, num_classes). Probabilities, or the values of a regression.
        """
        outputs = self.predict(images)
        return scores(outputs, self.problem_type) if self.outputs == "logits" else outputs

    def classify(self, image: Any, top_k: int = 5) -> list[tuple[str, float]]:
        """Classifies an image.

        Args:
            image: A path, an `EncodedImage`, a PIL image or a uint8 array (H, W, 3).
            top_k: Number of classes to return.

        Returns:
            [(label, score), ...], the highest score first. Without labels the label is the
            number of the class.

        Raises:
            InputError: The image cannot be read, or `top_k` is not a number of classes.
        """
        return self.top_classes(self.scores(self.prepare(image)[None])[0], top_k)

    def top_classes(self, scores: np.ndarray, top_k: int = 5) -> list[tuple[str, float]]:
        """Returns the classes of one image's scores (num_classes,), as `classify` does."""
        return top_classes(scores, self.labels, top_k)

    def require_one_class(self) -> None:
        """Rejects a classifier whose images have several classes, or none.

        Raises:
            InputError: Its problem type is not one class for each image.
        """
        if self.problem_type in _WITHOUT_ONE_CLASS:
            raise InputError(
                f"{self.name} must name one class of each image: accuracy compares that class "
                f"with the folder's. Received: problem_type={self.problem_type!r}"
            )


def open_scorer(
    source: str | os.PathLike[str],
    num_workers: int = 1,
    size: Size | None = None,
    labels: str | Path | None = None,
) -> Scorer:
    """Loads whatever classifies images.

    Args:
        source: A .tflite file or a SavedModel directory, both as this package exports them, or
            what `MetaFormerImageClassifier.from_preset` takes.
        num_workers: Number of interpreters that share a batch, for a .tflite file.
        size: Size of the images instead of the source's: a side or (height, width). A .tflite
            file has one size only.
        labels: Text file of class names that replace the source's.

    Raises:
        InputError: The source cannot be used, or does not say how its images are prepared.
    """
    if str(source).endswith(".tflite"):
        return _tflite(source, num_workers, size, labels)
    if (Path(source) / "saved_model.pb").is_file():
        return _saved_model(Path(source), size, labels)
    return _keras(source, size, labels)


def _tflite(
    path: str | os.PathLike[str],
    num_workers: int,
    size: Size | None,
    labels: str | Path | None,
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


def _saved_model(path: Path, size: Size | None, labels: str | Path | None) -> Scorer:
    description = _required(path, read_description(path))
    if description.is_segmenter:
        raise InputError(f"{path} must be a classifier. Received: a segmenter")
    transform = description.transform
    transform = transform if size is None else with_size(transform, size)
    signature = _load_signature(path)
    num_classes = signature.structured_outputs["logits"].shape[-1]
    channels = signature.structured_input_signature[1]["images"].shape[-1]
    names = read_labels(labels, num_classes) if labels else description.labels
    _check(path, num_classes, names, channels)
    return Scorer(
        name=str(path),
        predict=lambda images: signature(images=images)["logits"].numpy(),
        prepare=transform,
        num_classes=num_classes,
        labels=names,
        fixed_size=transform.output_shape is not None,
        problem_type=description.problem_type,
    )


def _load_signature(path: Path) -> Any:
    import tensorflow as tf

    try:
        with without_patterns(path) as folder:
            signatures = tf.saved_model.load(folder).signatures
    except (AttributeError, LookupError, OSError, ValueError, tf.errors.OpError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is not a usable SavedModel: {first_line}") from None
    signature = signatures.get(SIGNATURE)
    if signature is None:
        raise InputError(
            f"{path} must have the signature {SIGNATURE!r}. Received: {', '.join(signatures)}"
        )
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if list(inputs) != ["images"] or "logits" not in outputs:
        raise InputError(
            f"{path}: the signature {SIGNATURE!r} must take images and return logits. "
            f"Received: {', '.join(inputs)} -> {', '.join(outputs)}"
        )
    return signature


def _keras(source: str | os.PathLike[str], size: Size | None, labels: str | Path | None) -> Scorer:
    model = load_classifier(source, size=size, labels=labels)
    config, transform = model.config, model.transform
    _check(source, config.num_classes, config.labels, config.in_channels)
    return Scorer(
        name=str(source),
        predict=model.predict_on_batch,
        prepare=transform,
        num_classes=config.num_classes,
        labels=config.labels or (),
        fixed_size=transform.output_shape is not None,
        problem_type=config.problem_type,
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
        raise _undescribed(path)
    return description


def _undescribed(path: object) -> InputError:
    return InputError(
        f"{path} does not say how images are prepared: `keras-poolformer export` writes files "
        f"that do"
    )
