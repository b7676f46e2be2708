"""Labelled images in TFRecord files, as `keras-poolformer prepare` writes them; gs:// works too.

A folder holds the files and `dataset.json`, which describes them and is written last. A record is
a tf.train.Example: `image`, the bytes of an image's file; `label`; `key`, the example's number.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.class_matching import chosen, class_index, match_classes
from keras_poolformer.data.splits.record_description import (
    DESCRIPTION,
    MAX_BYTES,
    SPLITS,
    parse_description,
)
from keras_poolformer.data.splits.split import READING_ERRORS, StoredSplit, by_file, reason_of
from keras_poolformer.data.splits.validation import name_broken
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

FEATURES = {
    "image": tf.io.FixedLenFeature((), tf.string),
    "label": tf.io.FixedLenFeature((), tf.int64),
    "key": tf.io.FixedLenFeature((), tf.int64),
}
_READ_BYTES = 2**20  # at once; tf.data's own 256 kB are few for a file that lies far away
_ASK_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordSplit(StoredSplit):
    """A split of prepared records.

    Args:
        paths: of the files.
    """

    paths: tuple[str, ...]

    def load(self, raw):
        """See `Split.load`."""
        return tf.io.parse_single_example(raw, FEATURES)

    def describe(self, number):
        """See `Split.describe`."""
        file, place = self._locate(self.first + number)
        return f"record {place} of {self.paths[file]}"

    def class_indices(self, labels, num_classes):
        """Finds the model's class for each class, as `match_classes` does."""
        return match_classes(self.class_names, labels, num_classes, self.source, numbers=True)

    def examples(self, indices, limit=None):
        """Reads the images for an evaluation, when they are asked for and without decoding them.

        Args:
            indices: Class index of the model for each class of the records.
            limit: Number of images at most, evenly spread; None for all.

        Yields:
            (EncodedImage, class index).

        Raises:
            InputError: A file or record is corrupt, or an image has no class.
        """
        for number, example in chosen(self._loaded(), self.num_examples, limit):
            image = EncodedImage(example["image"], self.describe(number))
            yield image, class_index(image, example["label"], indices)

    def _loaded(self):
        stored = self.stream().map(self.load, num_parallel_calls=tf.data.AUTOTUNE)
        try:
            yield from stored.as_numpy_iterator()
        except READING_ERRORS as error:
            raise name_broken(self, error) or self.unreadable(error) from error

    def unreadable(self, error):
        """See `Split.unreadable`: looks for the file, which TensorFlow does not name."""
        for path, length in zip(self.paths, self.lengths, strict=True):
            try:
                for _ in _records(path, length, 0, -1).batch(_ASK_AT_ONCE):
                    pass
            except tf.errors.OpError as damage:
                return InputError(f"{path} cannot be read: {reason_of(damage)}")
        return super().unreadable(error)

    def _locate(self, place):
        """(which file, the record's place in it)."""
        ends = np.cumsum(self.lengths)
        file = int(np.searchsorted(ends, place, side="right"))
        return file, place - int(ends[file]) + self.lengths[file]

    def _read(self, ranges, cycle_length):
        parts = [part for first, last in ranges for part in by_file(self.lengths, first, last)]
        parts = [(*self._locate(first), last - first) for first, last in parts]
        files = [file for file, _, _ in parts]
        lengths = np.array([self.lengths[file] for file in files], np.int64)
        takes = np.array([take for _, _, take in parts], np.int64)
        # To the end of a file, so that a record too many is seen, too.
        takes[takes == lengths] = -1
        skips = np.array([skip for _, skip, _ in parts], np.int64)
        columns = ([self.paths[file] for file in files], lengths, skips, takes)
        return tf.data.Dataset.from_tensor_slices(columns).interleave(
            _records,
            cycle_length=cycle_length,
            block_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )


def _records(path, length, skip, take):
    """Some records of a file, which must hold `length`."""
    file = tf.data.TFRecordDataset(path, buffer_size=_READ_BYTES)
    return file.apply(tf.data.experimental.assert_cardinality(length)).skip(skip).take(take)


def open_records_split(path, split=None):
    """Opens one split of a folder of records, to evaluate on.

    Args:
        path: As for `open_records`.
        split: "train" or "validation", which is the default.

    Raises:
        InputError: As `open_records`, or there is no such split.
    """
    splits = dict(zip(SPLITS, open_records(path), strict=True))
    present = [name for name, opened in splits.items() if opened]
    wanted = SPLITS[-1] if split is None else split
    if wanted not in present:
        raise InputError(
            f"{path} has no split {shown(wanted)}: --split names one of {', '.join(present)}"
        )
    return splits[wanted]


def description_path(path):
    """Returns where the description of the records in `path` lies."""
    return f"{str(path).rstrip('/')}/{DESCRIPTION}"


def open_records(path):
    """Opens a folder of records.

    Args:
        path: of a folder, or its address, as in gs://bucket/imagenet.

    Returns:
        (`Split` to train on, `Split` to evaluate on, or None).

    Raises:
        InputError: there is no description, or another one, or files are missing or of another
            size than it says.
    """
    where = description_path(path)
    description = parse_description(_text(where), where)
    folder = where.removesuffix(f"/{DESCRIPTION}")
    splits = {
        name: _opened(folder, name, description.class_names, files)
        for name, files in description.splits.items()
    }
    every = [file for files in description.splits.values() for file in files]
    with ThreadPoolExecutor(_ASK_AT_ONCE) as threads:
        sizes = list(threads.map(_size, [f"{folder}/{file.name}" for file in every]))
    for file, size in zip(every, sizes, strict=True):
        if size != file.bytes:
            found = "no such file" if size is None else f"{size:,} bytes"
            raise InputError(
                f"{folder}/{file.name} must have {file.bytes:,} bytes, as {DESCRIPTION} says. "
                f"Received: {found}"
            )
    return splits["train"], splits.get("validation")


def _text(path):
    try:
        _check_regular(path)
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except tf.errors.OpError as error:
        raise InputError(
            f"{path} must describe records that `keras-poolformer prepare` wrote. "
            f"It cannot be read: {reason_of(error)}"
        ) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} must have at most {MAX_BYTES:,} bytes. Received: more")
    return content.decode("utf-8", errors="replace")


def _check_regular(path):
    """Refuses what a local path should not be: reading a pipe or a device may never end."""
    if "://" not in path and Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path} must be a regular file. Received: a folder, pipe or device")


def _size(path):
    _check_regular(path)
    try:
        return tf.io.gfile.stat(path).length
    except tf.errors.NotFoundError:
        return None
    except tf.errors.OpError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}") from None


def _opened(folder, name, class_names, files):
    lengths = tuple(file.examples for file in files)
    return RecordSplit(
        name=f"{folder} {name}",
        source=f"{folder} {name}",
        class_names=class_names,
        num_examples=sum(lengths),
        num_files=len(files),
        lengths=lengths,
        example_bytes=max(1, sum(file.bytes for file in files) // sum(lengths)),
        paths=tuple(f"{folder}/{file.name}" for file in files),
    )
