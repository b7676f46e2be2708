"""Labelled images in class folders, ROOT/label/image.png: needs numpy and Pillow alone."""

import os
from pathlib import Path

import numpy as np

from keras_poolformer.data.image_listing import Skipped, list_images
from keras_poolformer.images.formats import is_image_file
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean


def find_class_folders(root, note=None):
    """Lists the images of each class folder, without decoding them.

    Names that begin with a dot are ignored. Files that are not images, by their suffix or, if
    they have none, by their header, are left out.

    Args:
        root: folder that holds one folder per class, and in these the images.
        note: Function to call with a line that says how many files were left out and why, if
            there are any; or None.

    Returns:
        {name of the class folder: [path, ...]}, both sorted by name.

    Raises:
        InputError: there is no such folder, it holds no class folders, one of these holds no
            images, or images lie where they have no class.
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


def check_no_image(path):
    """Raises InputError if a file beside class folders is an image, which then has no class."""
    if is_image_file(path):
        raise InputError(f"{path} has no class: images must lie in the class folders")


def label_images(folders, labels, num_classes):
    """Gives each image the number of its class.

    A class folder is named exactly as one of the labels. Instead, all of them can be named by
    class number, which is the only way where a model has no labels or uses one of them twice.
    Classes without a folder are no error.

    Args:
        folders: {name: [path, ...]}, as `find_class_folders` returns it.
        labels: class names in the order of the classes; None or empty if unknown.
        num_classes: of the model.

    Returns:
        [(path, class index), ...], in the order of `folders`.

    Raises:
        InputError: a folder's name is neither a label nor a class number, or two classes have
            that label.
    """
    indices = match_labels(list(folders), labels, num_classes)
    return [
        (path, index)
        for paths, index in zip(folders.values(), indices, strict=True)
        for path in paths
    ]


def match_labels(names, labels, num_classes, subject="class folders", numbers=True):
    """Finds the model's class for each name, as `label_images` does.

    Args:
        names: list of names.
        labels, num_classes: as for `label_images`.
        subject: what errors call the names' owners, in the plural.
        numbers: whether class numbers are an alternative to labels.

    Returns:
        [class index, ...], in the order of `names`.

    Raises:
        InputError: as `label_images`.
    """
    labels = list(labels or ())
    by_number = not set(names) & set(labels) and all(map(_is_number, names))
    if numbers and (by_number or not labels):
        return [_class_number(name, labels, num_classes) for name in names]
    instead = f"all by class number, 0 to {num_classes - 1}" if numbers else ""
    return [_class_of_label(name, labels, subject, instead) for name in names]


def spread(examples, limit):
    """At most `limit` examples at even distances, so that every class keeps its share.

    Args:
        examples: a list.
        limit: a number, or None for all.
    """
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i * len(examples) // limit] for i in range(limit)]


def read_batches(examples, prepare, batch_size, on_broken=None):
    """Reads images batch by batch, when they are asked for.

    Args:
        examples: [(path, class index), ...].
        prepare: function from a path to an array; it raises InputError for a broken image.
        batch_size: images in a batch; the last one may have fewer.
        on_broken: called with (path, error) for each broken image, which is then left out;
            None to stop at the first.

    Yields:
        (arrays (N, ...), int64 class indices (N,)).

    Raises:
        InputError: an image cannot be read, and `on_broken` is None.
    """
    arrays, indices = [], []
    for path, index in examples:
        try:
            arrays.append(prepare(path))
        except InputError as error:
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


def _visible(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _images(folder, skipped):
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


def _is_number(name):
    return name.isascii() and name.isdigit()


def _class_number(name, labels, num_classes):
    if _is_number(name) and int(name) < num_classes:
        return int(name)
    known = "has" if labels else "has no labels and"
    raise InputError(
        f"class folders must be named by class number, 0 to {num_classes - 1}: the model {known} "
        f"{num_classes} classes. Received: {name!r}"
    )


def _class_of_label(name, labels, subject, instead):
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
