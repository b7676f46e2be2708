"""Class folders, for training: ROOT/split/label/image or ROOT/label/image."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.folders import check_no_image, find_class_folders
from keras_poolformer.data.split_folders import TRAINING_FOLDER, evaluation_folder, has_splits
from keras_poolformer.data.splits.split import Split, share
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderSplit(Split):
    """Image files; an example is known by its place in the sorted list of all.

    Args:
        paths: string tensor (all files,).
        labels: int64 tensor (all files,).
        numbers: int64 array; which of all files these are.
    """

    paths: tf.Tensor
    labels: tf.Tensor
    numbers: np.ndarray

    def stream(self, order_seed=None, shard=(0, 1), shuffle_buffer=None):
        """See `Split.stream`: a permutation of all files."""
        numbers = self.numbers
        if order_seed is not None:
            numbers = np.random.default_rng(order_seed).permutation(numbers)
        start, stop = share(self.num_examples, shard)
        return tf.data.Dataset.from_tensor_slices(numbers[start:stop])

    def load(self, raw):
        """See `Split.load`."""
        image = tf.io.read_file(tf.gather(self.paths, raw))
        return {"image": image, "label": tf.gather(self.labels, raw), "key": raw}

    def describe(self, number):
        """See `Split.describe`."""
        return os.fsdecode(self.paths[self.numbers[number]].numpy())

    def _divided(self, count):
        held = (2 * np.arange(count) + 1) * self.num_examples // (2 * count)
        return (
            self._only(self.name, np.delete(self.numbers, held)),
            self._only(f"{self.name} (held out)", self.numbers[held]),
        )

    def _only(self, name, numbers):
        return dataclasses.replace(self, name=name, numbers=numbers, num_examples=len(numbers))


def open_folders(root, note=None):
    """Opens class folders.

    Args:
        root: holds `train` and perhaps `val`, `validation` or `test`, and in these a folder per
            class; or the folders of the classes themselves, if `train` holds no folders.
        note: as for `find_class_folders`.

    Returns:
        (`Split` to train on, `Split` to evaluate on, or None).

    Raises:
        InputError: these are no class folders, one is empty, an image lies where it has no
            class, or both splits do not have the same classes.
    """
    root = Path(root)
    train = root / TRAINING_FOLDER
    if not has_splits(root):
        return _opened(root, find_class_folders(root, note)), None
    for path in sorted(root.glob("[!.]*")):
        if path.is_file():
            check_no_image(path)
    training = _opened(train, find_class_folders(train, note))
    folder = evaluation_folder(root)
    if folder is None:
        return training, None
    evaluation = _opened(folder, find_class_folders(folder, note))
    _check_classes(training, evaluation)
    return training, evaluation


def _opened(root, folders):
    files = [path for paths in folders.values() for path in paths]
    labels = np.repeat(np.arange(len(folders)), [len(paths) for paths in folders.values()])
    # On the host, of an eager tensor: the graphs that read it refer to it and do not copy it.
    with tf.init_scope(), tf.device("CPU:0"):
        return FolderSplit(
            name=str(root),
            class_names=tuple(folders),
            num_examples=len(files),
            paths=tf.constant([os.fsencode(path) for path in files]),
            labels=tf.constant(labels, tf.int64),
            numbers=np.arange(len(files), dtype=np.int64),
        )


def _check_classes(training, evaluation):
    for one, other in ((training, evaluation), (evaluation, training)):
        alone = [name for name in one.class_names if name not in other.class_names]
        if alone:
            shown = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if alone[5:] else "")
            raise InputError(
                f"{training.name} and {evaluation.name} must have the same class folders. "
                f"Received: {shown} in {one.name} alone"
            )
