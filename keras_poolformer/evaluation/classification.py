"""Measures a classifier on images with a class each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.data.folders import read_batches
from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.evaluation import classification_report
from keras_poolformer.evaluation.accuracy import Accuracy, measure_accuracy
from keras_poolformer.evaluation.measurement import Measurement, percentages
from keras_poolformer.evaluation.scorer import Scorer
from keras_poolformer.support.messages import printable

BATCH_SIZE = 64  # images
NAMES = {"top-1": "top1", "top-5": "top5"}  # what people call the figures


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassificationMeasurement(Measurement):
    """The accuracy of a classifier, and what it was measured on.

    Args:
        accuracy: The figures.
        images: Names of the images that were classified, in order.
        labels: Class names of the model; () if unknown.
    """

    accuracy: Accuracy
    images: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)

    def to_dict(self) -> dict[str, int | float]:
        """See `Measurement.to_dict`."""
        return self.accuracy.to_dict()

    def class_figures(self) -> list[dict[str, Any]]:
        """See `Measurement.class_figures`."""
        return classification_report.class_figures(self.accuracy.answers, self.labels)

    def summary(self) -> str:
        """See `Measurement.summary`."""
        return f"{self.accuracy.images:,} images: {percentages(NAMES, self.to_dict())}"

    def class_lines(self) -> list[str]:
        """See `Measurement.class_lines`."""
        lines = []
        for figures in self.class_figures():
            share = f"{figures['top1']:6.2f} % of {figures['images']:,}"
            lines.append(f"{share:18}  {printable(figures['label'])}")
        return lines

    def write_report(self, folder: Path) -> None:
        """See `Measurement.write_report`."""
        classification_report.write_report(
            folder, self.accuracy.answers, self.images, self.labels, self.summary()
        )


def measure_classifier(
    scorer: Scorer,
    labeled: LabeledImages,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    skip_broken: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ClassificationMeasurement:
    """Measures the accuracy of one model.

    Args:
        scorer: The model; each of its images has one class.
        labeled: Images to measure on.
        limit: Number of images at most, evenly spread; None for all.
        batch_size: Number of images at once.
        skip_broken: Whether images that cannot be read are skipped and counted.
        progress: Function to call with (images classified, of how many), or None.

    Raises:
        InputError: The classes do not match, there are no images, or one cannot be read.
    """
    scorer.require_one_class()
    examples = labeled.examples_for(scorer.labels, scorer.num_classes, limit)
    images: list[str] = []
    skipped: list[str] = []

    def prepare(image: object) -> np.ndarray:
        pixels = scorer.prepare(image)
        images.append(str(image))
        return pixels

    def skip(image: object, error: Exception) -> None:
        skipped.append(str(image))

    batches = read_batches(
        examples.pairs,
        prepare,
        batch_size if scorer.fixed_size else 1,
        on_broken=skip if skip_broken else None,
    )
    accuracy = measure_accuracy(
        scorer.predict, _counted(batches, examples.total, progress), scorer.to_scores
    )
    return ClassificationMeasurement(
        accuracy=accuracy,
        images=tuple(images),
        labels=scorer.labels,
        skipped=tuple(skipped),
        note=examples.note,
    )


def _counted(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same batches; each one that was used up moves the progress on."""
    done = 0
    for images, classes in batches:
        yield images, classes
        done += len(classes)
        if progress:
            progress(done, total)
