"""Replaces the image size or the class names that a source of weights comes with."""

from pathlib import Path
from typing import Any

from keras_poolformer.images.options import as_pair
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.labels import read_labels
from keras_poolformer.support.errors import InputError

Size = int | tuple[int, int]


def with_size(transform: ImageTransform, size: Size) -> ImageTransform:
    """Returns a transform whose images have another size.

    `crop_pct` is kept, so that the same section of a picture is seen. If the crop differs from
    the size that pictures are resized to, both change in proportion.

    Args:
        transform: The transform to change.
        size: Side of the square images, or (height, width), which squeezes pictures into that
            shape: `crop_mode` "timm" becomes "hf", since timm's supports squares only.

    Raises:
        InputError: A side is out of bounds, or the transform does not resize.
    """
    if not transform.do_resize:
        raise InputError("--size needs a transform that resizes. Received: do_resize=False")
    if isinstance(size, tuple) and size[0] == size[1]:
        size = size[0]
    options: dict[str, Any] = {"size": size}
    if isinstance(size, tuple) and transform.crop_mode == "timm":
        options["crop_mode"] = "hf"
    if transform.crop_size is not None and transform.do_center_crop:
        sides = zip(
            as_pair(size), as_pair(transform.size), as_pair(transform.crop_size), strict=True
        )
        resized = tuple(round(new * old / crop) for new, old, crop in sides)
        squeezes = isinstance(size, tuple) or isinstance(transform.size, tuple)
        options |= {"size": resized if squeezes else resized[0], "crop_size": size}
    return transform.replace(**options)


def override(model: Any, size: Size | None = None, labels: str | Path | None = None) -> None:
    """Changes the image size or class names of a model, and so of what is made from it.

    Args:
        model: Classifier, segmenter or backbone to change.
        size: Size of its images, as `with_size` takes it, or None.
        labels: Text file with a name for each class, one a line, or None.

    Raises:
        InputError: The size or the file cannot be used, or the model has no classes.
    """
    if size is not None:
        model.transform = with_size(model.transform, size)
    if labels is not None:
        num_classes = model.config.num_classes
        if not num_classes or getattr(model, "head", None) is None:
            raise InputError(
                "--labels needs a classifier or segmenter. Received: a network without classes"
            )
        model.config = model.config.replace(labels=read_labels(labels, num_classes))


def override_tflite(classifier: Any, size: Size | None, labels: str | Path | None) -> None:
    """Gives a `TFLiteClassifier` other labels; rejects another size, which its file fixes.

    Args:
        classifier: `TFLiteClassifier` to change.
        size: Size of its images that was asked for, or None.
        labels: Text file with a name for each class, one a line, or None.

    Raises:
        InputError: A size is given, or the file of labels cannot be used.
    """
    if size is not None:
        height, width = classifier.input_shape[:2]
        raise InputError(
            f"{classifier.path} takes images of {height} x {width} pixels only: --size is chosen "
            f"when a file is exported"
        )
    if labels is not None:
        classifier.labels = read_labels(labels, classifier.num_classes)
