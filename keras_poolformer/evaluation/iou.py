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
    """

    images: int
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    pixel_accuracy: float

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

    def add(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Counts one image.

        Args:
            predicted: Label map (H, W) of a model.
            true: Label map (H, W); pixels of the label 255 do not count.

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
            if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
                wrong = labels.min() if labels.min() < 0 else labels.max()
                raise InputError(
                    f"{name} labels must be 0 to {self.num_classes - 1}, or {IGNORED_LABEL} where "
                    f"nothing counts. Received: {wrong}"
                )
        pairs = np.bincount(true * self.num_classes + predicted, minlength=self._pairs.size)
        self._pairs += pairs.reshape(self._pairs.shape)
        self._images += 1

    def scores(self) -> SegmentationScores:
        """Returns the scores of all images so far.

        Raises:
            InputError: No pixel was counted.
        """
        if not self._pairs.any():
            raise InputError("mIoU needs at least one pixel with a label. Received: none")
        hits, true, predicted = np.diag(self._pairs), self._pairs.sum(1), self._pairs.sum(0)
        with np.errstate(invalid="ignore"):  # 0 / 0 of absent classes is NaN
            iou = 100 * hits / (true + predicted - hits)
            accuracy = 100 * hits / true
        return SegmentationScores(
            images=self._images,
            iou=tuple(iou.tolist()),
            accuracy=tuple(accuracy.tolist()),
            pixel_accuracy=float(100 * hits.sum() / true.sum()),
        )
