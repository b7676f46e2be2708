"""Images with masks in records or a tfds data set, to evaluate on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keras_poolformer.data.labeled import Examples
from keras_poolformer.data.masked import MaskedImages
from keras_poolformer.data.masks import MaskedImage
from keras_poolformer.data.splits.split import StoredSplit


@dataclass(frozen=True, kw_only=True)
class StoredMasks(MaskedImages):
    """Images with masks that are read from front to back.

    Args:
        split: Split whose targets are masks.
    """

    split: StoredSplit

    @property
    def num_images(self) -> int:
        """See `MaskedImages.num_images`."""
        return self.split.num_examples

    def pairs(self, limit: int | None) -> Iterator[MaskedImage]:
        """See `MaskedImages.pairs`."""
        return self.split.masked_images(limit)


@dataclass(frozen=True, kw_only=True)
class ClassesAndMasks(StoredMasks):
    """Images with a class and a mask each, of which the model decides.

    Args:
        classes: Split of the same images whose targets are classes.
    """

    classes: StoredSplit

    def examples_for(
        self, labels: Sequence[str] | None, num_classes: int, limit: int | None = None
    ) -> Examples:
        """See `LabeledImages.examples_for`."""
        return self.classes.examples_for(labels, num_classes, limit)


def stored_masks(
    masks: StoredSplit, reduce_zero_label: bool, classes: StoredSplit | None = None
) -> StoredMasks:
    """Returns images with masks, to evaluate on.

    Args:
        masks: Split whose targets are masks; its class names are () if unknown.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1.
        classes: Split of the same images whose targets are classes, or None.
    """
    fields: dict[str, Any] = {
        "split": masks,
        "names_from": masks.source,
        "class_names": masks.class_names,
        "reduce_zero_label": reduce_zero_label,
    }
    return ClassesAndMasks(**fields, classes=classes) if classes else StoredMasks(**fields)
