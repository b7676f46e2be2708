"""One way to run a Keras model, a SavedModel or a .tflite file; heavy imports are inside."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.labels import read_labels
from keras_poolformer.models.opening import load_model
from keras_poolformer.models.overrides import override_tflite, with_size
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.patterns import without_patterns

SIGNATURE = "normalized"


@dataclass(frozen=True)
class Scorer:
    """A classifier, whatever runs it.

    Args:
        predict: function from a batch of prepared images to scores (N, num_classes).
        prepare: function from an image's path or `EncodedImage` to the array that `predict`
            takes a batch of.
        num_classes: how many.
        labels: class names, () if unknown.
        fixed_size: whether all prepared images have the same size.
    """

    predict: Callable
    prepare: Callable
    num_classes: int
    labels: tuple[str, ...]
    fixed_size: bool = True


def open_scorer(source, num_workers=1, size=None, labels=None):
    """Loads whatever classifies images.

    Args:
        source: a .tflite file, a SavedModel directory, both as this package exports them, or
            what `PoolFormerImageClassifier.from_preset` takes.
        num_workers: interpreters that share a batch, for a .tflite file.
        size: of the images instead of the source's: a side or (height, width); .tflite files
            have one size only.
        labels: text file of class names that replace the source's.

    Returns:
        A `Scorer`.

    Raises:
        InputError: the source cannot be used, or does not say how its images are prepared.
    """
    if str(source).endswith(".tflite"):
        return _tflite(source, num_workers, size, labels)
    if (Path(source) / "saved_model.pb").is_file():
        return _saved_model(Path(source), size, labels)
    return _keras(source, size, labels)


def _tflite(path, num_workers, size, labels):
    from keras_poolformer.runtime import TFLiteClassifier

    classifier = TFLiteClassifier(path, num_workers=num_workers)
    override_tflite(classifier, size, labels)
    transform, takes_pixels = classifier.transform, classifier.input_kind == "pixels"
    if transform is None or classifier.description is None:
        raise _undescribed(path)
    _require_one_class(path, classifier.description.problem_type)
    blank = np.zeros((1, *classifier.input_shape), "uint8" if takes_pixels else "float32")
    num_classes = classifier.predict(blank).shape[1]
    _check(path, num_classes, classifier.labels, classifier.input_shape[-1])
    prepare = transform.pixels if takes_pixels else transform
    return Scorer(classifier.predict, prepare, num_classes, tuple(classifier.labels))


def _saved_model(path, size, labels):
    from keras_poolformer.runtime.description import read_description

    description = read_description(path)
    if description is None:
        raise _undescribed(path)
    _require_one_class(path, description.problem_type)
    transform = ImageTransform.from_dict(description.transform)
    transform = transform if size is None else with_size(transform, size)
    signature = _load_signature(path)
    num_classes = signature.structured_outputs["logits"].shape[-1]
    channels = signature.structured_input_signature[1]["images"].shape[-1]
    labels = read_labels(labels, num_classes) if labels else description.labels
    _check(path, num_classes, labels, channels)
    return Scorer(
        lambda images: signature(images=images)["logits"].numpy(),
        transform,
        num_classes,
        labels,
        transform.output_shape is not None,
    )


def _load_signature(path):
    import tensorflow as tf

    try:
        with without_patterns(path) as folder:
            signatures = tf.saved_model.load(folder).signatures
    except (AttributeError, LookupError, OSError, ValueError, tf.errors.OpError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is no usable SavedModel: {first_line}") from None
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


def _keras(source, size, labels):
    model = load_model(source, size=size, labels=labels)
    config, transform = model.config, model.transform
    _require_one_class(source, config.problem_type)
    _check(source, config.num_classes, config.labels, config.in_channels)
    return Scorer(
        model.predict_on_batch,
        transform,
        config.num_classes,
        config.labels or (),
        transform.output_shape is not None,
    )


def _check(source, num_classes, labels, channels):
    if not num_classes:
        raise InputError(f"{source} must be a classifier. Received: a network without classes")
    if labels and len(labels) != num_classes:
        raise InputError(
            f"{source} must have a label for each of its {num_classes} classes. "
            f"Received: {len(labels)} labels"
        )
    if channels != 3:
        raise InputError(f"{source} must take RGB images. Received: {channels} channels")


def _require_one_class(source, problem_type):
    if problem_type in ("multi_label_classification", "regression"):
        raise InputError(
            f"{source} must name one class of each image: accuracy compares that class with the "
            f"folder's. Received: problem_type={problem_type!r}"
        )


def _undescribed(path):
    return InputError(
        f"{path} does not say how images are prepared: `keras-poolformer export` writes files "
        f"that do"
    )
