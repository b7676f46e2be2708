"""A data set of tensorflow-datasets, for training."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_poolformer.data.splits.split import StoredSplit
from keras_poolformer.data.splits.tfds_source import one_line, open_builder, stored
from keras_poolformer.support.errors import InputError

EVALUATION_SPLITS = ("validation", "test")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class TfdsTrainingSplit(StoredSplit):
    """A split of a prepared data set; its images stay the files that they were.

    An example is known by a hash of its image: tfds has no number that is the same in every
    order.

    Args:
        builder: of tfds.
        tfds_name: of the split.
    """

    builder: Any
    tfds_name: str

    def load(self, raw):
        """See `Split.load`."""
        key = tf.strings.to_hash_bucket_fast(raw["image"], _LARGEST)
        return {"image": raw["image"], "label": raw["label"], "key": key}

    def _read(self, ranges, cycle_length):
        whole = ranges == [(0, sum(self.lengths))]
        parts = [f"{self.tfds_name}[{first}:{last}]" for first, last in ranges]
        wanted = self.tfds_name if whole else "+".join(parts)
        with one_line(f"{self.name} cannot be read"):
            return stored(self.builder, wanted, cycle_length)


def open_tfds(name, data_dir=None):
    """Opens a data set; downloads it where it is not prepared.

    Args:
        name, data_dir: as for `tfds_source.open_split`.

    Returns:
        (`Split` to train on, `Split` of its validation or test images, or None).

    Raises:
        InputError, MissingExtraError: as `tfds_source.open_split`, or there is no `train`.
    """
    builder = open_builder(name, data_dir)
    # tfds.testing.mock_data knows no names of splits, and takes any.
    known = list(builder.info.splits) or ["train", EVALUATION_SPLITS[0]]
    if "train" not in known:
        raise InputError(f"{name} must have the split train. Received: {', '.join(known)}")
    evaluation = next((one for one in EVALUATION_SPLITS if one in known), None)
    return _opened(name, builder, "train"), evaluation and _opened(name, builder, evaluation)


def _opened(name, builder, tfds_name):
    info = builder.info.splits.get(tfds_name)
    if info is not None and not info.num_examples:
        raise InputError(f"the split {tfds_name} of {name} holds no examples")
    with one_line(f"{name} {tfds_name} cannot be read"):
        count = int(stored(builder, tfds_name).cardinality())
    lengths = tuple(info.shard_lengths) if info is not None else ()
    if sum(lengths) != count:  # a mocked data set
        lengths = (count,)
    num_bytes = int(info.num_bytes or 0) if info is not None else 0
    return TfdsTrainingSplit(
        name=f"{name} {tfds_name}",
        source=f"{name} {tfds_name}",
        class_names=tuple(builder.info.features["label"].names),
        num_examples=count,
        num_files=sum(length > 0 for length in lengths),
        lengths=lengths,
        example_bytes=max(1, num_bytes // count) if num_bytes else StoredSplit.example_bytes,
        builder=builder,
        tfds_name=tfds_name,
    )
