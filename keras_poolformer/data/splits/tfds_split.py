"""The splits of a data set of tensorflow-datasets."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.data.splits.split import Dataset, Ranges, StoredSplit
from keras_poolformer.data.splits.stored_masks import StoredMasks, stored_masks
from keras_poolformer.data.splits.tfds_source import (
    Features,
    all_features,
    class_features,
    mask_features,
    mask_names,
    one_line,
    open_builder,
    stored,
)
from keras_poolformer.data.targets import ClassTarget, MaskTarget, Target
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
        features: Features that are read.
        tfds_name: Name of the split, or what else tfds takes for one, as in "test[:100]"; parts
            of such a split cannot be read.
    """

    builder: Any
    features: Features
    tfds_name: str

    def load(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """See `Split.load`."""
        image = raw[self.features.image]
        key = tf.strings.to_hash_bucket_fast(image, _LARGEST)
        return {"image": image, self.target.name: raw[self.features.target], "key": key}

    def _read(self, ranges: Ranges, cycle_length: int) -> Dataset:
        whole = ranges == [(0, sum(self.lengths))]
        parts = [f"{self.tfds_name}[{first}:{last}]" for first, last in ranges]
        wanted = self.tfds_name if whole else "+".join(parts)
        with one_line(f"{self.name} cannot be read"):
            return stored(self.builder, self.features, wanted, cycle_length)

    def _loaded(self) -> Iterator[dict[str, Any]]:
        with one_line(f"{self.name} cannot be read"):
            stream = stored(self.builder, self.features, self.tfds_name)
            examples: Any = stream.as_numpy_iterator()
            for example in examples:
                image, target = example[self.features.image], example[self.features.target]
                yield {"image": image, self.target.name: target}

    def _hint(self) -> str:
        return f"; --split names another of {', '.join(self.builder.info.splits)}"


class _DataSet(NamedTuple):
    """A data set that was opened: what its splits have in common."""

    name: str
    builder: Any
    features: Features
    class_names: tuple[str, ...]
    target: Target


def open_tfds(
    name: str, data_dir: str | os.PathLike[str] | None = None
) -> tuple[TfdsSplit, TfdsSplit | None]:
    """Opens images with a class each to train on; downloads them where they are not prepared.

    Args:
        name: Name of the data set, as `tfds_source.open_builder` takes it.
        data_dir: Folder of tfds data sets; tfds' own default if None.

    Returns:
        (split to train on; split of the validation or test images, or None).

    Raises:
        InputError: The data set cannot be opened, or has no `train`.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    return _splits(_of_classes(name, *open_builder(name, data_dir, class_features)))


def open_masked_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    reduce_zero_label: bool = False,
) -> tuple[TfdsSplit, TfdsSplit | None]:
    """Opens images with a mask each to train on; downloads them where they are not prepared.

    Args:
        name: Name of the data set, as `tfds_source.open_builder` takes it.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        class_names: Names of the classes, where the masks are not a LabeledImage, which has them.
        reduce_zero_label: Whether 0 stands for no class in the masks, and classes count from 1.

    Returns:
        (split to train on; split of the validation or test images, or None).

    Raises:
        InputError: The data set cannot be opened, has no masks or no `train`, or its classes have
            no names.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    builder, features = open_builder(name, data_dir, mask_features)
    names = mask_names(builder.info.features[features.target]) or tuple(class_names or ())
    if not names:
        raise InputError(
            f"the classes of the masks in {name} need names: give `class_names`, in the order of "
            "their numbers. Received: a data set that does not have them"
        )
    names = checked_class_names(names, f"the class names of {name}")
    target = MaskTarget(len(names), reduce_zero_label)
    return _splits(_DataSet(name, builder, features, names, target))


def _of_classes(name: str, builder: Any, features: Features) -> _DataSet:
    names = tuple(builder.info.features[features.target].names)
    return _DataSet(name, builder, features, names, ClassTarget(len(names)))


def _splits(data: _DataSet) -> tuple[TfdsSplit, TfdsSplit | None]:
    # tfds.testing.mock_data knows no names of splits, and takes any.
    splits = list(data.builder.info.splits) or ["train", TO_CHOOSE_BY[0]]
    if "train" not in splits:
        raise InputError(f"{data.name} must have the split train. Received: {', '.join(splits)}")
    evaluation = _first_of(TO_CHOOSE_BY, splits)
    training = _training_split(data, "train")
    return training, _training_split(data, evaluation) if evaluation else None


def open_tfds_images(
    name: str,
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    reduce_zero_label: bool = False,
) -> TfdsSplit | StoredMasks:
    """Opens one split of a data set to evaluate on; downloads it where it is not prepared.

    Args:
        name: Name of the data set, as `tfds_source.open_builder` takes it.
        split: Name of the split, or what else tfds takes for one, as in "test[:100]"; None for
            `test`, else `validation`.
        data_dir: Folder of tfds data sets; tfds' own default if None.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.

    Returns:
        Images with a class each, with a mask each, or `ClassesAndMasks`.

    Raises:
        InputError: The data set cannot be opened, or has no such split.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    builder, found = open_builder(name, data_dir, all_features)
    place = _place_to_report(name, builder, split)
    if "mask" not in found:
        return _split(_of_classes(name, builder, found["label"]), *place)
    names = tuple(getattr(builder.info.features[found["mask"].target], "names", None) or ())
    target = MaskTarget(len(names), reduce_zero_label)
    masks = _split(_DataSet(name, builder, found["mask"], names, target), *place)
    label = found.get("label")
    classes = label and _split(_of_classes(name, builder, label), *place)
    return stored_masks(masks, reduce_zero_label, classes)


def _place_to_report(name: str, builder: Any, split: str | None) -> tuple[str, tuple[int, ...]]:
    """(name of the split to evaluate on, number of its examples)."""
    splits = builder.info.splits
    listed = ", ".join(splits) or "none"
    split = split or _first_of(TO_REPORT, list(splits))
    if split is None:
        raise InputError(f"{name} has neither test nor validation: --split names one of {listed}")
    with one_line(f"--split must be what tensorflow-datasets takes for {name} ({listed})"):
        num_examples = splits[split].num_examples or 0
    if num_examples < 1:
        raise InputError(f"--split must hold at least one image of {name}. Received: {split}")
    return split, (num_examples,)


def _first_of(names: tuple[str, ...], present: list[str]) -> str | None:
    return next((name for name in names if name in present), None)


def _training_split(data: _DataSet, tfds_name: str) -> TfdsSplit:
    info = data.builder.info.splits.get(tfds_name)
    if info is not None and not info.num_examples:
        raise InputError(f"the split {tfds_name} of {data.name} holds no examples")
    with one_line(f"{data.name} {tfds_name} cannot be read"):
        count = int(stored(data.builder, data.features, tfds_name).cardinality())
    lengths = tuple(info.shard_lengths) if info is not None else ()
    if sum(lengths) != count:  # a mocked data set
        lengths = (count,)
    num_bytes = int(info.num_bytes or 0) if info is not None else 0
    example_bytes = max(1, num_bytes // count) if num_bytes else StoredSplit.example_bytes
    return _split(data, tfds_name, lengths, example_bytes)


def _split(
    data: _DataSet,
    tfds_name: str,
    lengths: tuple[int, ...],
    example_bytes: int = StoredSplit.example_bytes,
) -> TfdsSplit:
    return TfdsSplit(
        name=f"{data.name} {tfds_name}",
        source=f"{data.name} {tfds_name}",
        target=data.target,
        class_names=data.class_names,
        num_examples=sum(lengths),
        num_files=sum(length > 0 for length in lengths),
        lengths=lengths,
        example_bytes=example_bytes,
        builder=data.builder,
        features=data.features,
        tfds_name=tfds_name,
    )
