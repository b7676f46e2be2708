"""The accuracy of one model on labeled images, with the names of what was measured."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_poolformer.data.folders import read_batches
from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.evaluation.accuracy import Accuracy, measure_accuracy
from keras_poolformer.evaluation.scorer import Scorer

BATCH_SIZE = 64  # images


@dataclass(frozen=True)
class Measurement:
    """The accuracy of one model, and what it was measured on.

    Args:
        accuracy: The figures.
        images: Names of the images that were classified, in order.
        labels: Class names of the model; () if unknown.
        skipped: Names of the images that could not be read.
        note: What people should know of how classes were matched, or "".
    """

    accuracy: Accuracy
    images: list[str]
    labels: tuple[str, ...]
    skipped: list[str]
    note: str


def measure(
    scorer: Scorer,
    labeled: LabeledImages,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    skip_broken: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
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
    accuracy = measure_accuracy(scorer.predict, _counted(batches, examples.total, progress))
    return Measurement(accuracy, images, scorer.labels, skipped, examples.note)


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
