"""Top-1 and top-5 accuracy of anything that turns a batch of images into scores."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from keras_poolformer.scores import softmax
from keras_poolformer.support.errors import InputError

TOP = 5  # classes, of top-5


@dataclass(frozen=True, eq=False)
class Answers:
    """The predictions for all images, in the order of evaluation.

    Args:
        classes: int64 (N,). Class index of each image.
        predicted: int64 (N,). Class index with the highest score.
        margins: float64 (N,). Highest score minus the score of the image's class; 0 where the
            prediction is right.
        confidences: float64 (N,). Probability of the predicted class.
    """

    classes: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray
    confidences: np.ndarray


@dataclass(frozen=True)
class Accuracy:
    """The accuracy on a set of images.

    Args:
        images: Number of images that were classified.
        top1: Percentage of images whose class has the highest score.
        top5: Percentage of images whose class is among the five highest scores; None where there
            are fewer than five classes.
        answers: Predictions for all images.
    """

    images: int
    top1: float
    top5: float | None = None
    answers: Answers | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, int | float]:
        """Returns the figures as JSON-ready values, without top5 if it is None."""
        figures: dict[str, int | float] = {"images": self.images, "top1": self.top1}
        return figures if self.top5 is None else figures | {"top5": self.top5}


def measure_accuracy(
    predict: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    to_probabilities: Callable[[np.ndarray], np.ndarray] = softmax,
) -> Accuracy:
    """Measures accuracy.

    Classes with equal scores rank in the order of their numbers, as a stable sort puts them; a
    model that gives all classes the same score is right only on class 0.

    Args:
        predict: Function from a batch (N, ...) to scores (N, classes); higher is more likely.
        batches: (batch, class indices (N,)) pairs.
        to_probabilities: Function from those scores to probabilities.

    Raises:
        InputError: There are no images, a class index is out of range, or the scores have the
            wrong shape or are NaN.
    """
    num_classes = 0
    parts = []
    for batch, indices in batches:
        scores = np.asarray(predict(batch))
        indices = np.asarray(indices)
        _check(scores, indices)
        num_classes = scores.shape[1]
        confidences = to_probabilities(scores).max(1).astype("float64")
        parts.append((_ranks(scores, indices), *_answers(scores, indices), confidences))
    if not parts:
        raise InputError("accuracy needs at least one image. Received: none")
    ranks, *answers = (np.concatenate(column) for column in zip(*parts, strict=True))
    images = len(ranks)
    top5 = 100 * int((ranks < TOP).sum()) / images if num_classes >= TOP else None
    return Accuracy(images, 100 * int((ranks < 1).sum()) / images, top5, Answers(*answers))


def _answers(scores: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, predicted ones and margins, as in `Answers`, of one batch."""
    predicted = scores.argmax(1)  # the first of equal scores, as `_ranks` has it
    numbers = np.arange(len(scores))
    margins = scores[numbers, predicted].astype("float64") - scores[numbers, indices]
    return indices.astype("int64"), predicted, margins


def _ranks(scores: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """How many classes rank before the right one, for each image (N,).

    `training.step` has the same rule as TensorFlow operations, which run on the device; here
    neither Keras nor TensorFlow may be needed.
    """
    score = np.take_along_axis(scores, indices[:, None], axis=1)
    is_lower_class = np.arange(scores.shape[1]) < indices[:, None]
    return ((scores > score) | ((scores == score) & is_lower_class)).sum(axis=1)


def _check(scores: np.ndarray, indices: np.ndarray) -> None:
    if scores.ndim != 2 or len(scores) != len(indices):
        raise InputError(
            f"scores must have the shape ({len(indices)}, classes). Received: {scores.shape}"
        )
    wrong = indices[(indices < 0) | (indices >= scores.shape[1])]
    if wrong.size:
        raise InputError(f"class indices must be 0 to {scores.shape[1] - 1}. Received: {wrong[0]}")
    # A comparison with NaN is false, so NaN would rank first.
    if np.isnan(scores).any():
        raise InputError("scores must be numbers. Received: NaN, so the model is corrupt")
