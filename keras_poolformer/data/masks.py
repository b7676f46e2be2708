"""Images with a mask each, whose values are the numbers of classes: data of segmenters.

    ROOT/images/[SPLIT/]1.jpg, ROOT/masks/[SPLIT/]1.png, ROOT/labels.txt

`annotations` (ADE20K, mmsegmentation) is another name of `masks`. Needs neither Keras nor
TensorFlow.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image as Image

from keras_poolformer.data.image_listing import images_in
from keras_poolformer.data.split_folders import (
    EVALUATION_FOLDERS,
    TRAINING_FOLDER,
    evaluation_folder,
)
from keras_poolformer.images.files import EncodedImage, load_image, load_label_map
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import did_you_mean, listed, shown

IMAGES = "images"
MASKS = ("masks", "annotations")
LABELS = "labels.txt"  # names of the classes, one a line
TRAINING_FOLDERS = (TRAINING_FOLDER, "training")  # the second one as ADE20K has it


class MaskError(ImageError):
    """A mask does not fit its image or the classes.

    Args:
        message: Text of the error, with the name of the mask.
        finding: What is wrong with the mask, to follow its name where several are listed.
    """

    def __init__(self, message: str, finding: str) -> None:
        super().__init__(message)
        self.finding = finding


@dataclass(frozen=True)
class MaskedImage:
    """An image and its mask.

    Args:
        image: Path of the image, or its file in memory.
        mask: Path of the mask, or its file in memory.
    """

    image: Path | EncodedImage
    mask: Path | EncodedImage

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
        image = load_image(self.image)
        size = image.height, image.width
        return image, read_mask(self.mask, size, num_classes, reduce_zero_label)


def read_mask(
    source: Path | EncodedImage,
    size: tuple[int, int],
    num_classes: int,
    reduce_zero_label: bool,
) -> np.ndarray:
    """Opens a mask and checks it.

    Args:
        source: Path of the mask, or its file in memory.
        size: (height, width) of its image in pixels.
        num_classes: Number of classes.
        reduce_zero_label: As in `MaskedImage.load`.

    Returns:
        uint8 or uint16 (H, W), with 255 where there is no class.

    Raises:
        ImageError: It cannot be read; a MaskError if it has another size or a label is not a
            class.
    """
    labels = load_label_map(source)
    name = f"mask '{source}'" if isinstance(source, Path) else str(source)
    if labels.shape != tuple(size):
        expected, received = (f"{width} x {height}" for height, width in (size, labels.shape))
        raise MaskError(
            f"{name} must have the size of its image, {expected}. Received: {received}",
            f"is {received} instead of {expected}",
        )
    return _classes(labels, num_classes, reduce_zero_label, name)


def _classes(
    labels: np.ndarray, num_classes: int, reduce_zero_label: bool, name: str
) -> np.ndarray:
    unlabeled = labels == IGNORED_LABEL
    if reduce_zero_label:
        unlabeled |= labels == 0
        labels = labels - 1
    wrong = labels[~unlabeled & ((labels < 0) | (labels >= num_classes))]
    if wrong.size:
        first = int(reduce_zero_label)
        hint = "" if reduce_zero_label else "; where classes count from 1, set reduce_zero_label"
        raise MaskError(
            f"{name}: labels must be {first} to {num_classes - 1 + first}, or "
            f"{IGNORED_LABEL} for no class. Received: {wrong[0] + first}{hint}",
            f"has {wrong[0] + first}",
        )
    kept = np.where(unlabeled, IGNORED_LABEL, labels)
    return kept.astype(np.uint8 if num_classes <= IGNORED_LABEL else np.uint16)


def has_masks(root: str | Path) -> bool:
    """Whether a folder holds images and masks, rather than classes or splits."""
    return (Path(root) / IMAGES).is_dir() and any((Path(root) / name).is_dir() for name in MASKS)


def training_folder(root: str | Path) -> str | None:
    """Returns which of `TRAINING_FOLDERS` the images of a folder are in, or None.

    Args:
        root: Folder with `images`.
    """
    images = Path(root) / IMAGES
    return next((name for name in TRAINING_FOLDERS if (images / name).is_dir()), None)


def evaluation_split(root: str | Path) -> str | None:
    """Returns the split that a model is measured on: `val`, `validation` or `test`.

    Args:
        root: Folder with `images`.

    Returns:
        The first of these folders in `images`; None if `images` has no splits.

    Raises:
        InputError: There is `train` only.
    """
    images = Path(root) / IMAGES
    if folder := evaluation_folder(images):
        return folder.name
    if training := training_folder(root):
        raise InputError(
            f"{images} must hold one of {', '.join(EVALUATION_FOLDERS)} next to {training}: "
            f"--split {training} measures on the training images. Received: none of them"
        )
    return None


def image_folders(root: str | Path) -> tuple[Path, Path]:
    """Returns the folder of the images and that of the masks.

    Args:
        root: Folder that contains both.

    Raises:
        InputError: It does not.
    """
    root = Path(root)
    masks = next((root / name for name in MASKS if (root / name).is_dir()), None)
    if masks is None or not (root / IMAGES).is_dir():
        raise InputError(f"{root} must hold the folders {IMAGES} and {' or '.join(MASKS)}")
    return root / IMAGES, masks


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
    images, masks = image_folders(root)
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
