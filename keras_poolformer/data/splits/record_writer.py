"""Writes images with a class or a mask each, of any source, as records."""

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_poolformer.data.splits.record_description import (
    DESCRIPTION,
    RECORDS,
    SPLITS,
    Description,
    Masks,
    RecordFile,
    is_address,
)
from keras_poolformer.data.splits.resized import Resized
from keras_poolformer.data.splits.smaller import smaller_example
from keras_poolformer.data.splits.split import READING_ERRORS, Split, reason_of, share
from keras_poolformer.data.splits.validation import checked, name_broken
from keras_poolformer.data.targets import MaskTarget, Target
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import existing_error, refuse_existing, replacing

EXAMPLES_OF_A_FILE = 1250  # of ImageNet about 140 MB
MAX_FILES = 1024


def write_records(
    splits: tuple[Split, Split | None],
    path: str | os.PathLike[str],
    num_shards: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
    resized: Resized | None = None,
) -> Description:
    """Writes splits as records; every image is decoded once, as a check.

    Images and masks stay encoded as they are, unless `resized` makes them smaller, and each
    example keeps its key, which its augmentation depends on. Training examples are put into
    another, fixed order, because class folders have one class after the other.

    Args:
        splits: Split to train on; split to evaluate on, or None.
        path: Folder to write, or an address, as in gs://bucket/imagenet. A local folder appears
            when it is complete, and until then an old one stays; at an address old records are
            deleted first, and `dataset.json` is written last.
        num_shards: Number of files of the training split; None for a power of two, 1 to 1,024.
        progress: Function to call with (examples written, of how many), or None.
        overwrite: Whether records that are there may be replaced.
        resized: How images and masks are made smaller; None to keep the files.

    Returns:
        Description of what was written.

    Raises:
        InputError: Examples cannot be used (the first 20 are named), or the files cannot be
            written.
    """
    counts = _num_files(splits, num_shards)
    total = sum(split.num_examples for split in splits if split)
    advance = _counter(progress, total)
    with _destination(path, overwrite) as new_file, _writing(path):
        files = {
            name: tuple(_write_split(split, name, count, new_file, advance, resized))
            for name, split, count in zip(SPLITS, splits, counts, strict=True)
            if split
        }
        description = Description(splits[0].class_names, files, _masks(splits[0].target), resized)
        with tf.io.gfile.GFile(new_file(DESCRIPTION), "w") as file:
            file.write(description.to_json())
    return description


def _masks(target: Target) -> Masks | None:
    return Masks(target.reduce_zero_label) if isinstance(target, MaskTarget) else None


def _num_files(splits: tuple[Split, Split | None], num_shards: int | None) -> tuple[int, int]:
    """Numbers of files: of the training split as requested, of the other one in proportion."""
    training, evaluation = splits
    if num_shards is None:
        power = round(math.log2(max(1, training.num_examples / EXAMPLES_OF_A_FILE)))
        num_shards = min(2**power, MAX_FILES)
    num_shards = min(num_shards, training.num_examples)
    if evaluation is None:
        return num_shards, 0
    part = round(num_shards * evaluation.num_examples / training.num_examples)
    return num_shards, max(1, min(part, num_shards, evaluation.num_examples))


def _counter(progress: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    """A function to call for each example."""
    done = itertools.count(1)
    return (lambda: progress(next(done), total)) if progress else (lambda: None)


def _write_split(
    split: Split,
    name: str,
    count: int,
    new_file: Callable[[str], str],
    advance: Callable[[], None],
    resized: Resized | None,
) -> Iterator[RecordFile]:
    """Yields a `RecordFile` for each file that was written."""
    records = _records(split, 0 if name == "train" else None, resized)
    for number in range(count):
        start, stop = share(split.num_examples, (number, count))
        file_name = f"{name}-{number:05d}-of-{count:05d}.tfrecord"
        path = new_file(file_name)
        with tf.io.TFRecordWriter(path) as writer:
            for record in itertools.islice(records, stop - start):
                writer.write(record)
                advance()
        yield RecordFile(file_name, stop - start, tf.io.gfile.stat(path).length)


def _records(split: Split, order_seed: int | None, resized: Resized | None) -> Iterator[bytes]:
    """Yields serialized examples, each of them checked."""

    @tf.autograph.experimental.do_not_convert
    def check(raw: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        example, problem, shape = checked(split, raw)
        return smaller_example(resized, example) if resized else example, problem, shape

    stream = split.stream(order_seed)
    stream = stream.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    try:
        examples: Any = stream.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()
        for example, problem, _ in examples:
            if problem:
                raise tf.errors.OutOfRangeError(None, None, problem.decode())
            yield _record(example)
    except READING_ERRORS as error:
        raise name_broken(split) or split.unreadable(error) from error


def _record(example: dict[str, bytes | int]) -> bytes:
    fields = {name: _feature(value) for name, value in example.items()}
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


def _feature(value: bytes | int) -> Any:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


@contextlib.contextmanager
def _destination(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Callable[[str], str]]:
    """Yields a function from the name of a file to its path; after an error nothing is left."""
    refuse_unwritable(path, overwrite)
    path = str(path).rstrip("/")
    if not is_address(path):
        with replacing(path, overwrite, RECORDS) as written:
            written.mkdir()
            yield lambda name: str(written / name)
        return
    with _writing(path):
        for name in _names(path):  # the description first, without which there is no data set
            tf.io.gfile.remove(f"{path}/{name}")
        tf.io.gfile.makedirs(path)
    started: list[str] = []

    def new_file(name: str) -> str:
        started.append(f"{path}/{name}")
        return started[-1]

    try:
        yield new_file
    except BaseException:
        for file in started:
            with contextlib.suppress(tf.errors.OpError):
                tf.io.gfile.remove(file)
        raise


def refuse_unwritable(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Rejects a path that `write_records` may not write to.

    Args:
        path: Folder to write, or an address.
        overwrite: Whether records that are there may be replaced.

    Raises:
        InputError: It exists and may not be replaced, or is not a folder of records.
    """
    path = str(path)
    if not is_address(path):
        refuse_existing(path, overwrite, RECORDS)
        return
    with _writing(path):
        names = _names(path)
    if names and not overwrite:
        raise existing_error(path)
    difference = RECORDS.difference_of(
        (name.rstrip("/"), "folder" if name.endswith("/") else "file") for name in names
    )
    if difference:
        raise InputError(
            f"{path} cannot be overwritten: only {RECORDS.kind} is replaced, with nothing else in "
            f"it. Received: {difference}; choose another path"
        )


def _names(path: str) -> list[str]:
    """Names of the files in a folder; the description first."""
    names = tf.io.gfile.listdir(path) if tf.io.gfile.isdir(path) else []
    return sorted(names, key=lambda name: (name != DESCRIPTION, name))


@contextlib.contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns TensorFlow's errors within the block into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        raise InputError(f"{path} cannot be written: {reason_of(error)}") from error
