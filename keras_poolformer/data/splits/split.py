"""What training needs of labelled images, whichever source they are from."""

import abc
import dataclasses
import re
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line

# Of reading and decoding. The second is TensorFlow's, for an error that quotes bytes of the data.
READING_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
BUFFER_BYTES = 2**30  # of undecoded examples, from which the next one is drawn
READ_AT_ONCE = 8  # files


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(abc.ABC):
    """Labelled images that are known by their place in a stored order.

    Args:
        name: what errors call it.
        class_names: tuple of str, in the order of the labels.
        num_examples: how many there are.
        num_files: among which hosts can share the reading; 1 where they cannot.
    """

    name: str
    class_names: tuple[str, ...]
    num_examples: int
    num_files: int = 1

    @abc.abstractmethod
    def stream(self, order_seed=None, shard=(0, 1), shuffle_buffer=None) -> tf.data.Dataset:
        """The examples, cheap to read and to skip: no image is decoded.

        Args:
            order_seed: whole number from 0 that the order is a function of; None for the stored
                order.
            shard: (index, count) for one of `count` parts that hold each example once. No two
                differ by more than one example.
            shuffle_buffer: examples, over all shards, from which the next one is drawn, where
                the order is not drawn as a whole; None for as many as fit into 1 GB.

        Returns:
            tf.data.Dataset of what `load` takes.
        """

    @abc.abstractmethod
    def load(self, raw) -> dict:
        """Reads an example of `stream`; for `Dataset.map`.

        Args:
            raw: an element of `stream`.

        Returns:
            {"image": scalar string, the image's file; "label": scalar int64; "key": scalar
            int64, which is the example's own wherever it comes in the order}.
        """

    @abc.abstractmethod
    def describe(self, number) -> str:
        """Returns what errors call the example at this place of the stored order."""

    @abc.abstractmethod
    def _divided(self, count) -> tuple["Split", "Split"]:
        """What `held_out` returns."""

    def held_out(self, count):
        """Divides the examples, in the same way every time.

        Args:
            count: examples to hold out, fewer than there are.

        Returns:
            (`Split` of the others, `Split` of those that are held out).

        Raises:
            InputError: there are not so many.
        """
        if not 0 < count < self.num_examples:
            raise InputError(
                f"{self.name} has {self.num_examples:,} examples, of which 1 to "
                f"{self.num_examples - 1:,} can be held out. Received: {count:,}"
            )
        return self._divided(count)

    def unreadable(self, error):
        """Returns the InputError for an error of `stream` itself."""
        return InputError(f"{self.name} cannot be read: {reason_of(error)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSplit(Split):
    """Examples in files that are read from front to back.

    Args:
        source: what errors call the files as a whole; `name` may be a part of it.
        lengths: examples in each file, in order.
        first: place of the first example of this split among those of all files.
        example_bytes: of an example, on average.
    """

    source: str
    lengths: tuple[int, ...]
    first: int = 0
    example_bytes: int = 100_000

    @abc.abstractmethod
    def _read(self, ranges, cycle_length) -> tf.data.Dataset:
        """Reads ranges [(place, end), ...] of the files, so many of them at a time."""

    def stream(self, order_seed=None, shard=(0, 1), shuffle_buffer=None):
        """See `Split.stream`: files in drawn order, eight at a time, then a buffer."""
        ranges = self._ranges(order_seed, shard)
        if not ranges:  # more shards than examples
            return self._read([(self.first, self.first + 1)], 1).take(0)
        if order_seed is None:
            return self._read(ranges, 1)
        buffer = shuffle_buffer or max(1, BUFFER_BYTES // self.example_bytes)
        size = -(-min(buffer, self.num_examples) // shard[1])
        files = self._read(ranges, min(READ_AT_ONCE, len(ranges)))
        return shuffled(files, size, order_seed, shard[0])

    def describe(self, number):
        """See `Split.describe`."""
        return f"example {self.first + number} of {self.source}"

    def _divided(self, count):
        rest = dataclasses.replace(
            self,
            num_examples=self.num_examples - count,
            first=self.first + count,
            num_files=self._files(self.first + count, self.first + self.num_examples),
        )
        part = dataclasses.replace(
            self,
            name=f"{self.name} (held out)",
            num_examples=count,
            num_files=self._files(self.first, self.first + count),
        )
        return rest, part

    def _files(self, start, stop):
        return len(by_file(self.lengths, start, stop))

    def _ranges(self, order_seed, shard):
        """What a shard reads: the places of its examples, file by file."""
        start, stop = self.first, self.first + self.num_examples
        if order_seed is None:
            return _part([(start, stop)], *share(self.num_examples, shard))
        files = by_file(self.lengths, start, stop)
        order = np.random.default_rng(order_seed).permutation(len(files))
        return _part([files[i] for i in order], *share(self.num_examples, shard))


def by_file(lengths, start, stop):
    """Returns the parts [(place, end), ...] of a range of examples that lie in one file each."""
    ends = np.cumsum(lengths).tolist()
    ranges = zip([0, *ends[:-1]], ends, strict=True)
    inside = [(max(start, first), min(stop, last)) for first, last in ranges]
    return [(first, last) for first, last in inside if first < last]


def share(total, shard):
    """Returns (start, stop) of one of `count` parts of `total`; shard: (index, count)."""
    index, count = shard
    return total * index // count, total * (index + 1) // count


def shuffled(dataset, size, *seeds):
    """`Dataset.shuffle`, as a function of its own two seeds alone.

    That of tf.data mixes the seed with the one that `tf.random.set_seed` was given, if it was.
    """
    spec = dataset.element_spec
    flat = tf.nest.flatten(spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=size,
        seed=seeds[0],
        seed2=seeds[1] + 1,  # both 0 would mean: any
        output_types=[one.dtype for one in flat],
        output_shapes=[one.shape for one in flat],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, spec)


def reason_of(error):
    """What an error of TensorFlow says, in one line and without the names of its graph."""
    text = getattr(error, "message", None) or str(error)
    if isinstance(error, UnicodeDecodeError):  # what it would have said, without the data
        text = error.object.decode("utf-8", errors="replace").partition(", value: ")[0]
    # What Python raised inside of a pipeline: "ImageError: text", and where.
    text, python, _ = text.partition("\nTraceback (most recent call last)")
    text = text.rpartition("Error: ")[2] if python else text
    text = re.sub(r"\{\{[^}]*\}\}|\[\[.*?\]\]|\[Op:\w+\].*", "", text, flags=re.DOTALL)
    return one_line(text, 500) if text.strip() else type(error).__name__


def _part(ranges, start, stop):
    """Places `start` to `stop` of what ranges hold one after the other."""
    part, offset = [], 0
    for first, last in ranges:
        low, high = max(start - offset, 0), min(stop - offset, last - first)
        if low < high:
            part.append((first + low, first + high))
        offset += last - first
    return part
