"""Training data in TFRecord files, as `keras-poolformer prepare` writes them; gs:// works too.

A folder holds the files and `dataset.json`, which describes them and is written last. A record is
a tf.train.Example: `image`, the bytes of an image file; `label`, or `mask`, the bytes of the mask's
file; `key`, the number of the example.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_poolformer.data.splits.record_description import (
    DESCRIPTION,
    MAX_BYTES,
    SPLITS,
    Description,
    Masks,
    RecordFile,
    description_path,
    is_address,
    parse_description,
)
from keras_poolformer.data.splits.split import (
    READING_ERRORS,
    Dataset,
    Ranges,
    StoredSplit,
    by_file,
    reason_of,
)
from keras_poolformer.data.splits.stored_masks import StoredMasks, stored_masks
from keras_poolformer.data.splits.validation import name_broken
from keras_poolformer.data.targets import ClassTarget, MaskTarget, Target
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

_READ_BYTES = 2**20  # bytes at once; tf.data's default of 256 kB is slow over a network
_ASK_AT_ONCE = 32  # files


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordSplit(StoredSplit):
    """A split of prepared records.

    Args:
        paths: Paths of the files.
    """

    paths: tuple[str, ...]
    named_by_number: ClassVar[bool] = True

    def load(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Split.load`."""
        dtypes = {"image": tf.string, self.target.name: self.target.dtype, "key": tf.int64}
        features = {name: tf.io.FixedLenFeature((), dtype) for name, dtype in dtypes.items()}
        return tf.io.parse_single_example(raw, features)

    def describe(self, number: int) -> str:
        """See `Split.describe`."""
        file, place = self._locate(self.first + number)
        return f"record {place} of {self.paths[file]}"

    def _loaded(self) -> Iterator[dict[str, Any]]:
        stored = self.stream().map(self.load, num_parallel_calls=tf.data.AUTOTUNE)
        examples: Any = stored.as_numpy_iterator()
        try:
            yield from examples
        except READING_ERRORS as error:
            raise name_broken(self, error) or self.unreadable(error) from error

    def unreadable(self, error: Exception) -> InputError:
        """See `Split.unreadable`: looks for the file, which TensorFlow does not name."""
        for path, length in zip(self.paths, self.lengths, strict=True):
            try:
                for _ in _records(path, length, 0, -1).batch(_ASK_AT_ONCE):
                    pass
            except tf.errors.OpError as damage:
                return InputError(f"{path} cannot be read: {reason_of(damage)}")
        return super().unreadable(error)

    def _locate(self, place: int) -> tuple[int, int]:
        """(which file, the record's place in it)."""
        ends = np.cumsum(self.lengths)
        file = int(np.searchsorted(ends, place, side="right"))
        return file, place - int(ends[file]) + self.lengths[file]

    def _read(self, ranges: Ranges, cycle_length: int) -> Dataset:
        parts = [part for first, last in ranges for part in by_file(self.lengths, first, last)]
        parts = [(*self._locate(first), last - first) for first, last in parts]
        files = [file for file, _, _ in parts]
        lengths = np.array([self.lengths[file] for file in files], np.int64)
        takes = np.array([take for _, _, take in parts], np.int64)
        # To the end of a file, so that a surplus record is noticed.
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


def _records(path: str, length: int, skip: int, take: int) -> Dataset:
    """Some records of a file, which must hold `length`."""
    file = tf.data.TFRecordDataset(path, buffer_size=_READ_BYTES)
    return file.apply(tf.data.experimental.assert_cardinality(length)).skip(skip).take(take)


def open_records_images(
    path: str | os.PathLike[str], split: str | None = None, reduce_zero_label: bool = False
) -> RecordSplit | StoredMasks:
    """Opens one split of a folder of records, to evaluate on.

    Args:
        path: Folder of records, or its address.
        split: "train" or "validation", which is the default.
        reduce_zero_label: As in `open_records`.

    Raises:
        InputError: The records cannot be opened, or there is no such split.
    """
    opened = zip(SPLITS, open_records(path, reduce_zero_label), strict=True)
    splits = {name: records for name, records in opened if records}
    wanted = SPLITS[-1] if split is None else split
    if wanted not in splits:
        raise InputError(
            f"{path} has no split {shown(wanted)}: --split names one of {', '.join(splits)}"
        )
    records = splits[wanted]
    if isinstance(records.target, MaskTarget):
        return stored_masks(records, records.target.reduce_zero_label)
    return records


def open_records(
    path: str | os.PathLike[str], reduce_zero_label: bool = False
) -> tuple[RecordSplit, RecordSplit | None]:
    """Opens a folder of records.

    Args:
        path: Folder of records, or its address, as in gs://bucket/imagenet.
        reduce_zero_label: Whether only records of masks in which 0 stands for no class are right.

    Returns:
        (split to train on; split to evaluate on, or None).

    Raises:
        InputError: The description is missing or not valid, or files are missing or have another
            size than it says.
    """
    where = description_path(path)
    description = parse_description(_text(where), where)
    if reduce_zero_label and description.masks == Masks(False):
        raise InputError(
            f"{where}: reduce_zero_label must be true, as it is here. Received: false; "
            "`keras-poolformer prepare --reduce-zero-label` writes such records"
        )
    folder = where.removesuffix(f"/{DESCRIPTION}")
    splits = {
        name: _opened(folder, name, description, files)
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


def _text(path: str) -> str:
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


def _check_regular(path: str) -> None:
    """Rejects a local pipe or device, from which reading may never end."""
    if not is_address(path) and Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path} must be a regular file. Received: a folder, pipe or device")


def _size(path: str) -> int | None:
    _check_regular(path)
    try:
        return tf.io.gfile.stat(path).length
    except tf.errors.NotFoundError:
        return None
    except tf.errors.OpError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}") from None


def _opened(
    folder: str, name: str, description: Description, files: tuple[RecordFile, ...]
) -> RecordSplit:
    lengths = tuple(file.examples for file in files)
    return RecordSplit(
        name=f"{folder} {name}",
        source=f"{folder} {name}",
        target=_target(description),
        class_names=description.class_names,
        num_examples=sum(lengths),
        num_files=len(files),
        lengths=lengths,
        example_bytes=max(1, sum(file.bytes for file in files) // sum(lengths)),
        paths=tuple(f"{folder}/{file.name}" for file in files),
    )


def _target(description: Description) -> Target:
    count = len(description.class_names)
    if description.masks is None:
        return ClassTarget(count)
    return MaskTarget(count, description.masks.reduce_zero_label)
