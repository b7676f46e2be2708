"""Image files to train on: class folders, ROOT/[split/]label/image, and images with masks."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.folders import check_no_image, find_class_folders
from keras_poolformer.data.split_folders import TRAINING_FOLDER, evaluation_folder, has_splits
from keras_poolformer.data.splits.split import Dataset, Shard, Split, share
from keras_poolformer.data.targets import ClassTarget
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberedSplit(Split):
    """Examples that can be read in any order, by their numbers, which are their keys.

    Args:
        numbers: int64 (num_examples,). Numbers of the examples in this split.
    """

    numbers: np.ndarray

    def stream(
        self,
        order_seed: int | None = None,
        shard: Shard = (0, 1),
        shuffle_buffer: int | None = None,
    ) -> Dataset:
        """See `Split.stream`: a permutation of all numbers."""
        numbers = self.numbers
        if order_seed is not None:
            numbers = np.random.default_rng(order_seed).permutation(numbers)
        start, stop = share(self.num_examples, shard)
        return tf.data.Dataset.from_tensor_slices(numbers[start:stop])

    def _divided(self, count: int) -> tuple[Split, Split]:
        held = (2 * np.arange(count) + 1) * self.num_examples // (2 * count)
        return (
            self._only(self.name, np.delete(self.numbers, held)),
            self._only(f"{self.name} (held out)", self.numbers[held]),
        )

    def _only(self, name: str, numbers: np.ndarray) -> Split:
        return dataclasses.replace(self, name=name, numbers=numbers, num_examples=len(numbers))


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderSplit(NumberedSplit):
    """Image files; the key of an example is its number in the sorted list of all files.

    Args:
        paths: string (all files,).
        targets: int64 (all files,), their classes.
    """

    paths: tf.Tensor
    targets: tf.Tensor

    def load(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Split.load`."""
        image = tf.io.read_file(tf.gather(self.paths, raw))
        return {"image": image, self.target.name: self._target(raw), "key": raw}

    def _target(self, raw: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.targets, raw)

    def describe(self, number: int) -> str:
        """See `Split.describe`."""
        return os.fsdecode(self.paths[self.numbers[number]].numpy())


def open_folders(
    root: str | os.PathLike[str], note: Callable[[str], None] | None = None
) -> tuple[FolderSplit, FolderSplit | None]:
    """Opens class folders.

    Args:
        root: Folder that contains `train` and perhaps `val`, `validation` or `test`, with a
            folder for each class; or that contains the folders of the classes.
        note: Function to call with a line about files that are skipped, or None.

    Returns:
        (split to train on; split to evaluate on, or None).

    Raises:
        InputError: There are no class folders, one is empty, an image is outside of them, or the
            two splits do not have the same classes.
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


def _opened(root: Path, folders: dict[str, list[Path]]) -> FolderSplit:
    files = [path for paths in folders.values() for path in paths]
    labels = np.repeat(np.arange(len(folders)), [len(paths) for paths in folders.values()])
    # Eager and on the host, so that graphs refer to the tensor instead of copying it.
    with tf.init_scope(), tf.device("CPU:0"):
        return FolderSplit(
            name=str(root),
            target=ClassTarget(len(folders)),
            class_names=tuple(folders),
            num_examples=len(files),
            paths=tf.constant([os.fsencode(path) for path in files]),
            targets=tf.constant(labels, tf.int64),
            numbers=np.arange(len(files), dtype=np.int64),
        )


def _check_classes(training: Split, evaluation: Split) -> None:
    for split, other in ((training, evaluation), (evaluation, training)):
        extra = [name for name in split.class_names if name not in other.class_names]
        if extra:
            shown = ", ".join(extra[:5]) + (f" and {len(extra) - 5} more" if extra[5:] else "")
            raise InputError(
                f"{training.name} and {evaluation.name} must have the same class folders. "
                f"Received: {shown} only in {split.name}"
            )
