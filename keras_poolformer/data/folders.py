"""Labeled images in class folders, ROOT/label/image.png; needs only numpy and Pillow."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_poolformer.data.image_listing import Skipped, list_images
from keras_poolformer.data.labeled import Examples
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.images.formats import is_image_file
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import did_you_mean

T = TypeVar("T")


def find_class_folders(
    root: str | os.PathLike[str], note: Callable[[str], None] | None = None
) -> dict[str, list[Path]]:
    """Lists the images of each class folder, without decoding them.

    Names that begin with a dot are ignored. Files that are not images, by their suffix or, if
    they have none, by their header, are skipped.

    Args:
        root: Folder that contains a folder for each class, which contains the images.
        note: Function to call with a line that says how many files were skipped and why, if
            there are any; or None.

    Returns:
        {name of the class folder: [path, ...]}, both sorted by name.

    Raises:
        InputError: The folder does not exist, contains no class folders, or images outside of
            them; or a class folder contains no images.
    """
    root = Path(root)
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise InputError(f"{root} must be a folder of class folders. Received: {found}")
    inside = _visible(root)
    skipped = Skipped(root)
    folders = {path.name: _images(path, skipped) for path in inside if path.is_dir()}
    if not folders:
        raise InputError(
            f"{root} must hold a folder for each class, as in {root.name}/cat/1.png. "
            f"Received: {len(inside)} files and no folder"
        )
    for path in inside:
        if path.name not in folders:
            check_no_image(path)
    skipped.tell(note)
    return folders


def check_no_image(path: Path) -> None:
    """Rejects an image next to the class folders, which has no class.

    Args:
        path: Path of a file.

    Raises:
        InputError: It is an image.
    """
    if is_image_file(path):
        raise InputError(f"{path} has no class: images must be in the class folders")


@dataclass(frozen=True)
class ClassFolders:
    """The images of class folders, to evaluate on.

    Args:
        folders: {name of the class folder: [path, ...]}, as `find_class_folders` returns it.
    """

    folders: Mapping[str, Sequence[Path]]

    def examples_for(
        self, labels: Sequence[str] | None, num_classes: int, limit: int | None = None
    ) -> Examples:
        """See `LabeledImages.examples_for`; classes are found as `label_images` does."""
        pairs = spread(label_images(self.folders, labels, num_classes), limit)
        return Examples(pairs, len(pairs))


def label_images(
    folders: Mapping[str, Sequence[Path]], labels: Sequence[str] | None, num_classes: int
) -> list[tuple[Path, int]]:
    """Gives each image the number of its class.

    A class folder has exactly the name of a label. Alternatively, all of them are named by class
    number, which is the only way where a model has no labels, or the same one twice. Not every
    class needs a folder.

    Args:
        folders: {name: [path, ...]}, as `find_class_folders` returns it.
        labels: Class names in the order of the classes; None or empty if unknown.
        num_classes: Number of classes of the model.

    Returns:
        [(path, class index), ...], in the order of `folders`.

    Raises:
        InputError: The name of a folder is neither a label nor a class number, or two classes
            have that label.
    """
    indices = match_labels(list(folders), labels, num_classes)
    return [
        (path, index)
        for paths, index in zip(folders.values(), indices, strict=True)
        for path in paths
    ]


def match_labels(
    names: Sequence[str],
    labels: Sequence[str] | None,
    num_classes: int,
    subject: str = "class folders",
    numbers: bool = True,
) -> list[int]:
    """Finds the model's class for each name, as `label_images` does.

    Args:
        names: Names of classes.
        labels: Class names of the model in the order of its classes; None or empty if unknown.
        num_classes: Number of classes of the model.
        subject: What has these names, in the plural, for errors.
        numbers: Whether class numbers are an alternative to labels.

    Returns:
        [class index, ...], in the order of `names`.

    Raises:
        InputError: A name is neither a label nor a class number, or two classes have that label.
    """
    labels = list(labels or ())
    by_number = not set(names) & set(labels) and all(map(_is_number, names))
    if numbers and (by_number or not labels):
        return [_class_number(name, labels, num_classes) for name in names]
    instead = f"all by class number, 0 to {num_classes - 1}" if numbers else ""
    return [_class_of_label(name, labels, subject, instead) for name in names]


def spread(examples: Sequence[T], limit: int | None) -> Sequence[T]:
    """Returns at most `limit` examples, evenly spread, so that every class keeps its share.

    Args:
        examples: Examples, sorted by class or not.
        limit: Number of examples at most, or None for all.
    """
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i * len(examples) // limit] for i in range(limit)]


def read_batches(
    examples: Iterable[tuple[Path | EncodedImage, int]],
    prepare: Callable[[Any], np.ndarray],
    batch_size: int,
    on_broken: Callable[[Path | EncodedImage, ImageError], None] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads images batch by batch, as the iteration gets to them.

    Args:
        examples: (image, number) pairs, where the number is that of its class, or any other.
        prepare: Function from an image to an array; it raises ImageError for one that cannot be
            read.
        batch_size: Number of images in a batch; the last one may have fewer.
        on_broken: Function to call with (image, error) for each image that cannot be read and is
            skipped; None to stop at the first.

    Yields:
        (arrays (N, ...), int64 numbers (N,)).

    Raises:
        ImageError: An image cannot be read, and `on_broken` is None.
    """
    arrays, indices = [], []
    for path, index in examples:
        try:
            arrays.append(prepare(path))
        except ImageError as error:
            if on_broken is None:
                raise
            on_broken(path, error)
            continue
        indices.append(index)
        if len(arrays) == batch_size:
            yield np.stack(arrays), np.array(indices)
            arrays, indices = [], []
    if arrays:
        yield np.stack(arrays), np.array(indices)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _images(folder: Path, skipped: Skipped) -> list[Path]:
    with os.scandir(folder) as entries:  # a million images: no system call for each of them
        inside = sorted((entry.name, entry.is_dir()) for entry in entries if entry.name[0] != ".")
    for name, is_folder in inside:
        if is_folder:
            raise InputError(
                f"{folder / name} must be an image: class folders hold no folders. "
                "Received: a folder"
            )
    images = list_images(folder, skipped)
    if not images:
        raise InputError(f"the class folder {folder} holds no image files{skipped.reasons()}")
    return images


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _class_number(name: str, labels: Sequence[str], num_classes: int) -> int:
    if _is_number(name) and int(name) < num_classes:
        return int(name)
    has = "has" if labels else "has no labels and"
    raise InputError(
        f"class folders must be named by class number, 0 to {num_classes - 1}: the model {has} "
        f"{num_classes} classes. Received: {name!r}"
    )


def _class_of_label(name: str, labels: list[str], subject: str, instead: str) -> int:
    if labels.count(name) > 1:
        advice = f"; name them {instead}" if instead else ""
        raise InputError(
            f"{subject}: {labels.count(name)} classes of the model have the label {name!r}{advice}"
        )
    if name in labels:
        return labels.index(name)
    alternative = f", or {instead}" if instead else ""
    shown = ", ".join(labels) if len(labels) <= 10 else f"{labels[0]} ... {labels[-1]}"
    raise InputError(
        f"{subject} must be named by the model's labels ({shown}){alternative}. "
        f"Received: {name!r}.{did_you_mean(name, labels)}"
    )
