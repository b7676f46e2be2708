"""What an evaluation needs of labeled images, whichever source they are from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from keras_poolformer.images.files import EncodedImage


@dataclass(frozen=True)
class Examples:
    """Images with the class that a model has for them.

    Args:
        pairs: (path or `EncodedImage`, class index of the model) of each image; it is read when
            the iteration gets to it.
        total: Number of pairs.
        note: What people should know of how classes were matched, or "".
    """

    pairs: Iterable[tuple[Path | EncodedImage, int]]
    total: int
    note: str = ""


@runtime_checkable
class LabeledImages(Protocol):
    """Labeled images, not yet matched with the classes of a model."""

    def examples_for(
        self, labels: Sequence[str] | None, num_classes: int, limit: int | None = None
    ) -> Examples:
        """Gives each image the number of its class in a model.

        Args:
            labels: Class names of the model in the order of its classes; empty if unknown.
            num_classes: Number of classes of the model.
            limit: Number of images at most, evenly spread; None for all.

        Raises:
            InputError: The model does not have the classes of the images; while iterating, an
                image cannot be read.
        """
        ...
