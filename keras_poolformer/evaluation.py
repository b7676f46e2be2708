"""Top-1 and top-5 accuracy of anything that turns a batch of images into scores."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from keras_poolformer.errors import InputError

TOP = 5


@dataclass(frozen=True)
class Accuracy:
    """How often the right class came first, or among the first five.

    Args:
        images: how many were classified.
        top1: share of images whose class has the highest score, in per cent.
        top5: share of images whose class is among the five highest scores, in per cent; None
            where there are fewer than five classes.
    """

    images: int
    top1: float
    top5: float | None = None

    def to_dict(self):
        """Returns the result as JSON-ready values; without top5 where there is none."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value is not None}


def evaluate(predict, batches):
    """Measures accuracy.

    Classes with equal scores rank in the order of their numbers, lowest first, as a stable
    sort puts them; a model that gives all classes the same score is right on class 0 alone.

    Args:
        predict: function from a batch (N, ...) to scores (N, classes); the higher, the likelier.
        batches: iterable of (batch, class indices (N,)).

    Returns:
        An `Accuracy`.

    Raises:
        InputError: there are no images, a class index is none of the model's, or the scores
            have the wrong shape or are no numbers.
    """
    images, first, among_five, classes = 0, 0, 0, 0
    for batch, indices in batches:
        scores = np.asarray(predict(batch))
        indices = np.asarray(indices)
        _check(scores, indices)
        ranks = _ranks(scores, indices)
        images, classes = images + len(ranks), scores.shape[1]
        first += int((ranks < 1).sum())
        among_five += int((ranks < TOP).sum())
    if not images:
        raise InputError("accuracy needs at least one image. Received: none")
    top5 = 100 * among_five / images if classes >= TOP else None
    return Accuracy(images, 100 * first / images, top5)


def _ranks(scores, indices):
    """How many classes rank before the right one, for each image (N,)."""
    own = np.take_along_axis(scores, indices[:, None], axis=1)
    is_lower_class = np.arange(scores.shape[1]) < indices[:, None]
    return ((scores > own) | ((scores == own) & is_lower_class)).sum(axis=1)


def _check(scores, indices):
    if scores.ndim != 2 or len(scores) != len(indices):
        raise InputError(
            f"scores must have the shape ({len(indices)}, classes). Received: {scores.shape}"
        )
    wrong = indices[(indices < 0) | (indices >= scores.shape[1])]
    if wrong.size:
        raise InputError(
            f"class indices must lie in 0 to {scores.shape[1] - 1}. Received: {wrong[0]}"
        )
    # A comparison with NaN is false, so NaN would rank first.
    if np.isnan(scores).any():
        raise InputError("scores must be numbers. Received: NaN, so the model is damaged")
