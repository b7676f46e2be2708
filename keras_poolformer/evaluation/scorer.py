"""A classifier, whatever runs it: what `predict` and `evaluate` need of one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError

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
        return self.to_scores(self.predict(images))

    def to_scores(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the scores of what `predict` returned, (N, num_classes)."""
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
