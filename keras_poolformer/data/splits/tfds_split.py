"""The splits of a data set of tensorflow-datasets."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_poolformer.data.splits.split import Dataset, Ranges, StoredSplit
from keras_poolformer.data.splits.tfds_source import one_line, open_builder, stored
from keras_poolformer.data.targets import ClassTarget
from keras_poolformer.support.errors import InputError

# In the order of preference, for the reasons that `opening` gives.
TO_CHOOSE_BY = ("validation", "test")  # while training
TO_REPORT = ("test", "validation")  # of `evaluate`
_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class TfdsSplit(StoredSplit):
    """A split of a prepared data set; its images stay the files that they were.

    The key of an example is a hash of its image: tfds has no number that is the same in every
    order.

    Args:
        builder: tfds' builder of the data set.
        tfds_name: Name of the split, or what else tfds takes for one, as in "test[:100]"; parts
            of such a split cannot be read.
    """

    builder: Any
    tfds_name: str

    def load(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """See `Split.load`."""
        key = tf.strings.to_hash_bucket_fast(raw["image"], _LARGEST)
        return {"image": raw["image"], "label": raw["label"], "key": key}

    def _read(self, ranges: Ranges, cycle_length: int) -> Dataset:
        whole = ranges == [(0, sum(self.lengths))]
        parts = [f"{self.tfds_name}[{first}:{last}]" for first, last in ranges]
        wanted = self.tfds_name if whole else "+".join(parts)
        with one_line(f"{self.name} cannot be read"):
            return stored(self.builder, wanted, cycle_length)

    def _loaded(self) -> Iterator[dict[str, Any]]:
        with one_line(f"{self.name} cannot be read"):
            examples: Any = stored(self.builder, self.tfds_name).as_numpy_iterator()
            yield from examples

    def _hint(self) -> str:
        return f"; --split names another of {', '.join(self.builder.info.splits)}"


def open_tfds(
    name: str, data_dir: str | os.PathLike[str] | None = None
) -> tuple[TfdsSplit, TfdsSplit | None]:
    """Opens a data set to train on; downloads it where it is not prepared.

    Args:
        name: Name of the data set, as `tfds_source.open_builder` takes it.
        data_dir: Folder of tfds data sets; tfds' own default if None.

    Returns:
        (split to train on; split of the validation or test images, or None).

    Raises:
        InputError: The data set cannot be opened, or has no `train`.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    builder = open_builder(name, data_dir)
    # tfds.testing.mock_data knows no names of splits, and takes any.
    splits = list(builder.info.splits) or ["train", TO_CHOOSE_BY[0]]
    if "train" not in splits:
        raise InputError(f"{name} must have the split train. Received: {', '.join(splits)}")
    evaluation = _first_of(TO_CHOOSE_BY, splits)
    training = _training_split(name, builder, "train")
    return training, _training_split(name, builder, evaluation) if evaluation else None


def open_tfds_split(
    name: str, split: str | None = None, data_dir: str | os.PathLike[str] | None = None
) -> TfdsSplit:
    """Opens one split of a data set to evaluate on; downloads it where it is not prepared.

    Args:
        name: Name of the data set, as `tfds_source.open_builder` takes it.
        split: Name of the split, or what else tfds takes for one, as in "test[:100]"; None for
            `test`, else `validation`.
        data_dir: Folder of tfds data sets; tfds' own default if None.

    Raises:
        InputError: The data set cannot be opened, or has no such split.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    builder = open_builder(name, data_dir)
    splits = builder.info.splits
    listed = ", ".join(splits) or "none"
    split = split or _first_of(TO_REPORT, list(splits))
    if split is None:
        raise InputError(f"{name} has neither test nor validation: --split names one of {listed}")
    with one_line(f"--split must be what tensorflow-datasets takes for {name} ({listed})"):
        num_examples = splits[split].num_examples or 0
    if num_examples < 1:
        raise InputError(f"--split must hold at least one image of {name}. Received: {split}")
    return _split(name, builder, split, (num_examples,))


def _first_of(names: tuple[str, ...], present: list[str]) -> str | None:
    return next((name for name in names if name in present), None)


def _training_split(name: str, builder: Any, tfds_name: str) -> TfdsSplit:
    info = builder.info.splits.get(tfds_name)
    if info is not None and not info.num_examples:
        raise InputError(f"the split {tfds_name} of {name} holds no examples")
    with one_line(f"{name} {tfds_name} cannot be read"):
        count = int(stored(builder, tfds_name).cardinality())
    lengths = tuple(info.shard_lengths) if info is not None else ()
    if sum(lengths) != count:  # a mocked data set
        lengths = (count,)
    num_bytes = int(info.num_bytes or 0) if info is not None else 0
    example_bytes = max(1, num_bytes // count) if num_bytes else StoredSplit.example_bytes
    return _split(name, builder, tfds_name, lengths, example_bytes)


def _split(
    name: str,
    builder: Any,
    tfds_name: str,
    lengths: tuple[int, ...],
    example_bytes: int = StoredSplit.example_bytes,
) -> TfdsSplit:
    names = tuple(builder.info.features["label"].names)
    return TfdsSplit(
        name=f"{name} {tfds_name}",
        source=f"{name} {tfds_name}",
        target=ClassTarget(len(names)),
        class_names=names,
        num_examples=sum(lengths),
        num_files=sum(length > 0 for length in lengths),
        lengths=lengths,
        example_bytes=example_bytes,
        builder=builder,
        tfds_name=tfds_name,
    )
