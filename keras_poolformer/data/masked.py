"""What an evaluation needs of images with masks, whichever source they are from.

Needs neither Keras nor TensorFlow.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image as Image

from keras_poolformer.data.folders import spread
from keras_poolformer.data.masks import LABELS, MaskedImage, evaluation_split, find_masked_images
from keras_poolformer.labels import read_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import listed, shown


@dataclass(frozen=True)
class MaskedExamples:
    """Images with masks, whose labels are the classes of a model.

    Args:
        pairs: The images with their masks, which are read by `load`.
        total: Number of pairs.
        num_classes: Number of classes.
        class_names: Names of the classes in their order; () if neither the model nor the data have
            any.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1.
    """

    pairs: Iterable[MaskedImage]
    total: int
    num_classes: int
    class_names: tuple[str, ...] = ()
    reduce_zero_label: bool = False

    def load(self, pair: MaskedImage) -> tuple[Image.Image, np.ndarray]:
        """Opens an image and its mask, as `MaskedImage.load` does."""
        return pair.load(self.num_classes, self.reduce_zero_label)


@dataclass(frozen=True, kw_only=True)
class MaskedImages(ABC):
    """Images with masks, not yet matched with the classes of a model.

    Args:
        names_from: What names the classes, or may do so, for errors.
        class_names: Names of the classes in their order; () if unknown.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1.
    """

    names_from: str
    class_names: tuple[str, ...] = ()
    reduce_zero_label: bool = False

    @property
    @abstractmethod
    def num_images(self) -> int:
        """Number of images."""

    @abstractmethod
    def pairs(self, limit: int | None) -> Iterable[MaskedImage]:
        """Returns the images with their masks.

        Args:
            limit: Number of images at most, evenly spread; None for all.

        Raises:
            InputError: While iterating: what holds them is corrupt.
        """

    def masks_for(
        self, labels: Sequence[str], num_classes: int | None, limit: int | None = None
    ) -> MaskedExamples:
        """Checks that the data have the classes of a model.

        Args:
            labels: Class names of the model in the order of its classes; () if unknown.
            num_classes: Number of classes of the model; None if unknown.
            limit: Number of images at most, evenly spread; None for all.

        Raises:
            InputError: The data name other classes, or nothing says how many there are.
        """
        names = match_names(self.class_names, labels, num_classes, self.names_from)
        if not num_classes and not names:
            raise InputError(
                f"{self.names_from} must name the classes: the model does not say how many it has. "
                "Received: no names"
            )
        return MaskedExamples(
            pairs=self.pairs(limit),
            total=len(spread(range(self.num_images), limit)),
            num_classes=num_classes or len(names),
            class_names=names,
            reduce_zero_label=self.reduce_zero_label,
        )


@dataclass(frozen=True, kw_only=True)
class MaskedFolder(MaskedImages):
    """A folder of images and masks, to evaluate on.

    Args:
        files: Its images with their masks.
    """

    files: Sequence[MaskedImage]

    @property
    def num_images(self) -> int:
        """See `MaskedImages.num_images`."""
        return len(self.files)

    def pairs(self, limit: int | None) -> Sequence[MaskedImage]:
        """See `MaskedImages.pairs`."""
        return spread(self.files, limit)


def open_masked_folder(
    root: str | os.PathLike[str],
    split: str | None = None,
    note: Callable[[str], None] | None = None,
    reduce_zero_label: bool = False,
) -> MaskedFolder:
    """Opens a folder of images and masks to evaluate on; no image is read yet.

    Args:
        root: Folder with `images` and `masks` (or `annotations`), and perhaps `labels.txt`.
        split: Name of the folder inside each of them; None for the first of `val`, `validation`
            and `test`, or for all images if there are no splits.
        note: Function to call with a line about files that are skipped, or None.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1.

    Raises:
        InputError: There is no such split, an image does not have exactly one mask, or the names
            cannot be read.
    """
    root = Path(root)
    return MaskedFolder(
        files=find_masked_images(root, split or evaluation_split(root), note),
        names_from=str(root / LABELS),
        class_names=read_labels(root / LABELS) if (root / LABELS).exists() else (),
        reduce_zero_label=reduce_zero_label,
    )


def match_names(
    names: Sequence[str], labels: Sequence[str], num_classes: int | None, names_from: str
) -> tuple[str, ...]:
    """Returns the names of the classes: those of the model, or else of the data.

    Masks hold numbers, so that both must have the same names in the same order.

    Args:
        names: Class names of the data in the order of their classes; () if unknown.
        labels: Class names of the model; () if unknown.
        num_classes: Number of classes of the model; None if unknown.
        names_from: What holds the data's names, for errors.

    Raises:
        InputError: The names or their numbers differ.
    """
    if names and num_classes and len(names) != num_classes:
        raise InputError(
            f"{names_from} must name the model's {num_classes:,} classes. Received: "
            f"{len(names):,} names ({listed(names)})"
        )
    for number, (name, label) in enumerate(zip(names, labels, strict=False)):
        if name != label:
            raise InputError(
                f"{names_from} must name the model's classes in their order, as masks hold their "
                f"numbers: class {number} is {shown(label)}. Received: {shown(name)}"
            )
    return tuple(labels or names)
