"""Images with a mask each, whose values are the numbers of classes: data of segmenters.

    ROOT/images/[SPLIT/]1.jpg, ROOT/masks/[SPLIT/]1.png

`annotations` (ADE20K, mmsegmentation) is another name of `masks`. Needs neither Keras nor
TensorFlow.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image as Image

from keras_poolformer.data.image_listing import images_in
from keras_poolformer.images.files import load_image, load_label_map
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import did_you_mean, listed, shown

IMAGES = "images"
MASKS = ("masks", "annotations")


@dataclass(frozen=True)
class MaskedImage:
    """An image and its mask.

    Args:
        image: Path of the image.
        mask: Path of the mask.
    """

    image: Path
    mask: Path

    def load(self, num_classes: int, reduce_zero_label: bool) -> tuple[Image.Image, np.ndarray]:
        """Opens both.

        Args:
            num_classes: Number of classes.
            reduce_zero_label: Whether 0 stands for no class, and classes count from 1, as in
                ADE20K's files.

        Returns:
            The image, in mode RGB, and the mask (H, W), uint8 or uint16, with 255 where there is no
            class.

        Raises:
            ImageError: One cannot be read, the sizes differ, or a label is not a class.
        """
        image, labels = load_image(self.image), load_label_map(self.mask)
        if labels.shape != (image.height, image.width):
            raise ImageError(
                f"mask '{self.mask}' must have the size of its image, {image.width} x "
                f"{image.height}. Received: {labels.shape[1]} x {labels.shape[0]}"
            )
        return image, _classes(labels, num_classes, reduce_zero_label, self.mask)


def _classes(
    labels: np.ndarray, num_classes: int, reduce_zero_label: bool, path: Path
) -> np.ndarray:
    unlabeled = labels == IGNORED_LABEL
    if reduce_zero_label:
        unlabeled |= labels == 0
        labels = labels - 1
    wrong = labels[~unlabeled & ((labels < 0) | (labels >= num_classes))]
    if wrong.size:
        first = int(reduce_zero_label)
        hint = "" if reduce_zero_label else "; where classes count from 1, set reduce_zero_label"
        raise ImageError(
            f"mask '{path}': labels must be {first} to {num_classes - 1 + first}, or "
            f"{IGNORED_LABEL} for no class. Received: {wrong[0] + first}{hint}"
        )
    kept = np.where(unlabeled, IGNORED_LABEL, labels)
    return kept.astype(np.uint8 if num_classes <= IGNORED_LABEL else np.uint16)


def has_masks(root: str | Path) -> bool:
    """Whether a folder holds images and masks, rather than classes or splits."""
    return (Path(root) / IMAGES).is_dir() and any((Path(root) / name).is_dir() for name in MASKS)


def find_masked_images(
    root: str | Path, split: str | None = None, note: Callable[[str], None] | None = None
) -> list[MaskedImage]:
    """Lists the images of a folder with their masks.

    Args:
        root: Folder with `images` and `masks` (or `annotations`).
        split: Name of the folder inside each of them, or None for all images.
        note: Function to call with a line about files that are skipped, or None.

    Returns:
        Pairs in the order of the images' names.

    Raises:
        InputError: A folder is missing, there are no images, or one does not have exactly one mask.
    """
    root = Path(root)
    masks = next((root / name for name in MASKS if (root / name).is_dir()), None)
    if masks is None or not (root / IMAGES).is_dir():
        raise InputError(f"{root} must hold the folders {IMAGES} and {' or '.join(MASKS)}")
    images = root / IMAGES
    if split is not None:
        found = sorted(path.name for path in images.iterdir() if path.is_dir())
        if split not in found or not (masks / split).is_dir():
            raise InputError(
                f"--split must be a folder in {images} and in {masks}."
                f"{did_you_mean(split, found)} Received: {shown(split)}"
            )
        images, masks = images / split, masks / split
    return list(_pairs(images, masks, images_in(images, note, recursive=True)))


def _pairs(images: Path, masks: Path, paths: Sequence[Path]) -> Iterator[MaskedImage]:
    """Each image with the mask of its name, whatever their suffixes."""
    by_name: dict[Path, list[Path]] = {}
    for path in images_in(masks, recursive=True):
        by_name.setdefault(path.relative_to(masks).with_suffix(""), []).append(path)
    for image in paths:
        found = by_name.get(image.relative_to(images).with_suffix(""), [])
        if len(found) != 1:
            expected = masks / image.relative_to(images).with_suffix(".png")
            received = listed([path.name for path in found]) if found else "no such file"
            raise InputError(f"{image} must have one mask, {expected}. Received: {received}")
        yield MaskedImage(image, found[0])
