"""Intersection over union of label maps, as mmsegmentation's IoUMetric counts it."""

from dataclasses import dataclass, field

import numpy as np

from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True)
class SegmentationScores:
    """How well label maps agree with the truth, over all pixels of a set of images.

    Args:
        images: Number of images.
        iou: Percentage of the intersection of predicted and true pixels of each class in their
            union; NaN for a class that is neither predicted nor true anywhere.
        accuracy: Percentage of the true pixels of each class that are predicted; NaN likewise.
        pixel_accuracy: Percentage of all pixels that are predicted right.
        pairs: int64 (classes, classes). Number of pixels of each pair of true (row) and predicted
            class.
    """

    images: int
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    pixel_accuracy: float
    pairs: np.ndarray = field(repr=False, compare=False)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes that occur (mIoU)."""
        return float(np.nanmean(self.iou))

    @property
    def mean_accuracy(self) -> float:
        """Mean of `accuracy` over the classes that occur (mAcc)."""
        return float(np.nanmean(self.accuracy))

    def to_dict(self) -> dict[str, int | float]:
        """Returns the figures of all classes together as JSON-ready values."""
        return {
            "images": self.images,
            "mean_iou": self.mean_iou,
            "mean_accuracy": self.mean_accuracy,
            "pixel_accuracy": self.pixel_accuracy,
        }


@dataclass
class IouMeter:
    """Counts pixels of label maps until `scores` is asked for.

    Sums run over the whole set before anything is divided, so that large images count more.

    Args:
        num_classes: Number of classes.
    """

    num_classes: int
    _images: int = 0
    _pairs: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._pairs = np.zeros((self.num_classes, self.num_classes), np.int64)  # [true, predicted]

    def add(self, predicted: np.ndarray, true: np.ndarray) -> SegmentationScores | None:
        """Counts one image.

        Args:
            predicted: Label map (H, W) of a model.
            true: Label map (H, W); pixels of the label 255 do not count.

        Returns:
            The scores of this image by itself; None if no pixel of it counts.

        Raises:
            InputError: The maps differ in shape, or a label is not a class.
        """
        pairs = count_pairs(predicted, true, self.num_classes)
        self._pairs += pairs
        self._images += 1
        return scores_of(pairs, 1) if pairs.any() else None

    def scores(self) -> SegmentationScores:
        """Returns the scores of all images so far.

        Raises:
            InputError: No pixel was counted.
        """
        return scores_of(self._pairs, self._images)


def count_pairs(predicted: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the pixels of each pair of true and predicted class.

    Args:
        predicted: Label map (H, W) of a model.
        true: Label map (H, W); pixels of the label 255 do not count.
        num_classes: Number of classes.

    Returns:
        int64 (num_classes, num_classes): rows are true classes, columns predicted ones.

    Raises:
        InputError: The maps differ in shape, or a label is not a class.
    """
    if predicted.shape != true.shape:
        raise InputError(
            f"a label map must have the mask's shape {true.shape}. Received: {predicted.shape}"
        )
    counted = true != IGNORED_LABEL
    predicted, true = predicted[counted].astype(np.int64), true[counted].astype(np.int64)
    for name, labels in (("predicted", predicted), ("true", true)):
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InputError(
                f"{name} labels must be 0 to {num_classes - 1}, or {IGNORED_LABEL} where "
                f"nothing counts. Received: {wrong}"
            )
    pairs = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def scores_of(pairs: np.ndarray, images: int) -> SegmentationScores:
    """Returns the scores of pixels that were counted.

    Args:
        pairs: (K, K). Number of pixels of each true class, by the class that was predicted.
        images: Number of images.

    Raises:
        InputError: No pixel was counted.
    """
    if not pairs.any():
        raise InputError("mIoU needs at least one pixel with a label. Received: none")
    hits, true, predicted = np.diag(pairs), pairs.sum(1), pairs.sum(0)
    with np.errstate(invalid="ignore"):  # 0 / 0 of absent classes is NaN
        iou = 100 * hits / (true + predicted - hits)
        accuracy = 100 * hits / true
    return SegmentationScores(
        images=images,
        iou=tuple(iou.tolist()),
        accuracy=tuple(accuracy.tolist()),
        pixel_accuracy=float(100 * hits.sum() / true.sum()),
        pairs=pairs,
    )
