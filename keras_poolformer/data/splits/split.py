"""The interface that training has to images with a target each, whichever source they are from."""

import abc
import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import tensorflow as tf

from keras_poolformer.data.class_matching import chosen, class_index, match_classes
from keras_poolformer.data.folders import spread
from keras_poolformer.data.labeled import Examples
from keras_poolformer.data.masks import MaskedImage
from keras_poolformer.data.targets import Target
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line

# Errors of reading and decoding. TensorFlow raises the second one where its message quotes bytes of
# the data.
READING_ERRORS: tuple[type[Exception], ...] = (tf.errors.OpError, UnicodeDecodeError)
BUFFER_BYTES = 2**30  # bytes of undecoded examples, from which the next one is drawn
READ_AT_ONCE = 8  # files
# TensorFlow loads its submodules lazily, so type checkers do not see tf.data.Dataset.
Dataset: TypeAlias = Any
Shard = tuple[int, int]  # (index, count) of one of `count` parts
Ranges = list[tuple[int, int]]  # (place, end) of examples that are read one after the other


@dataclass(frozen=True, kw_only=True, eq=False)
class Split(abc.ABC):
    """Images with a target each, numbered in a stored order.

    Args:
        name: Name of the split, for errors.
        target: What belongs to each image: its class, or a mask.
        class_names: Class names in the order of the labels.
        num_examples: Number of images.
        num_files: Number of files that hosts can share among themselves; 1 where they cannot.
    """

    name: str
    target: Target
    class_names: tuple[str, ...]
    num_examples: int
    num_files: int = 1

    @abc.abstractmethod
    def stream(
        self,
        order_seed: int | None = None,
        shard: Shard = (0, 1),
        shuffle_buffer: int | None = None,
    ) -> Dataset:
        """Streams the examples, cheap to read and to skip: no image is decoded.

        Args:
            order_seed: Whole number from 0 that the order is a function of; None for the stored
                order.
            shard: (index, count) of one of `count` parts that hold each example once. No two
                differ by more than one example.
            shuffle_buffer: Number of examples, over all shards, from which the next one is drawn,
                where the order is not drawn as a whole; None for as many as fit into 1 GB.

        Returns:
            tf.data.Dataset of what `load` takes.
        """

    @abc.abstractmethod
    def load(self, raw: Any) -> dict[str, tf.Tensor]:
        """Reads an example of `stream`; for `Dataset.map`.

        Args:
            raw: Element of `stream`.

        Returns:
            {"image": scalar string, the image file; "label": scalar int64, or "mask": scalar
            string, the mask's file; "key": scalar int64, which identifies the example wherever it
            comes in the order}.
        """

    @abc.abstractmethod
    def describe(self, number: int) -> str:
        """Returns the name, for errors, of the example with this number in the stored order."""

    def describe_target(self, number: int) -> str:
        """Returns the name, for errors, of the target of an example; see `describe`."""
        return self.describe(number)

    @abc.abstractmethod
    def _divided(self, count: int) -> tuple["Split", "Split"]:
        """See `held_out`."""

    def held_out(self, count: int) -> tuple["Split", "Split"]:
        """Divides the examples, in the same way every time.

        Args:
            count: Number of examples to hold out, fewer than there are.

        Returns:
            (split of the others, split of those that are held out).

        Raises:
            InputError: There are not that many.
        """
        if not 0 < count < self.num_examples:
            raise InputError(
                f"{self.name} has {self.num_examples:,} examples, of which 1 to "
                f"{self.num_examples - 1:,} can be held out. Received: {count:,}"
            )
        return self._divided(count)

    def unreadable(self, error: Exception) -> InputError:
        """Returns the InputError for an error of `stream` itself."""
        return InputError(f"{self.name} cannot be read: {reason_of(error)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSplit(Split):
    """Examples in files that are read from front to back.

    Args:
        source: Name of all the files together, for errors; `name` may be a part of them.
        lengths: Number of examples in each file, in order.
        first: Number of the first example of this split among those of all files.
        example_bytes: Mean size of an example.
    """

    source: str
    lengths: tuple[int, ...]
    first: int = 0
    example_bytes: int = 100_000
    # Whether class names that are numbers mean the model's classes of these numbers.
    named_by_number: ClassVar[bool] = False

    @abc.abstractmethod
    def _read(self, ranges: Ranges, cycle_length: int) -> Dataset:
        """Reads ranges of the examples, `cycle_length` of them at a time."""

    @abc.abstractmethod
    def _loaded(self) -> Iterator[dict[str, Any]]:
        """Yields what `load` returns, as numpy values in the stored order.

        Raises:
            InputError: A file or record is corrupt.
        """

    def examples_for(
        self, labels: Sequence[str] | None, num_classes: int, limit: int | None = None
    ) -> Examples:
        """See `LabeledImages.examples_for`; images are read one after the other, not decoded."""
        indices, by_position = match_classes(
            self.class_names, labels, num_classes, self.source, self.named_by_number
        )
        note = ""
        if by_position:
            label = labels[0] if labels else 0
            note = (
                f"the classes of {self.source} are taken for the model's by number, not by name: "
                f"{self.class_names[0]!r} for {label!r}, and so on"
            )
        total = len(spread(range(self.num_examples), limit))
        return Examples(self._pairs(indices, limit), total, note)

    def masked_images(self, limit: int | None) -> Iterator[MaskedImage]:
        """Yields the files of images and masks, where they are the target, one after the other.

        Args:
            limit: Number of images at most, evenly spread; None for all.

        Raises:
            InputError: While iterating: a file or record is corrupt.
        """
        for number, example in chosen(self._loaded(), self.num_examples, limit):
            name = self.describe(number)
            yield MaskedImage(
                EncodedImage(bytes(example["image"]), name),
                EncodedImage(bytes(example["mask"]), f"the mask of {name}"),
            )

    def _pairs(
        self, indices: Sequence[int], limit: int | None
    ) -> Iterator[tuple[EncodedImage, int]]:
        for number, example in chosen(self._loaded(), self.num_examples, limit):
            image = EncodedImage(bytes(example["image"]), self.describe(number))
            yield image, class_index(image, example["label"], indices, self._hint())

    def _hint(self) -> str:
        """What the error for an image without a class ends in."""
        return ""

    def stream(
        self,
        order_seed: int | None = None,
        shard: Shard = (0, 1),
        shuffle_buffer: int | None = None,
    ) -> Dataset:
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

    def describe(self, number: int) -> str:
        """See `Split.describe`."""
        return f"example {self.first + number} of {self.source}"

    def _divided(self, count: int) -> tuple[Split, Split]:
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

    def _files(self, start: int, stop: int) -> int:
        return len(by_file(self.lengths, start, stop))

    def _ranges(self, order_seed: int | None, shard: Shard) -> Ranges:
        """The examples that a shard reads, file by file."""
        start, stop = self.first, self.first + self.num_examples
        if order_seed is None:
            return _part([(start, stop)], *share(self.num_examples, shard))
        files = by_file(self.lengths, start, stop)
        order = np.random.default_rng(order_seed).permutation(len(files))
        return _part([files[i] for i in order], *share(self.num_examples, shard))


def by_file(lengths: Sequence[int], start: int, stop: int) -> Ranges:
    """Divides a range of examples where one file ends and the next begins."""
    ends = np.cumsum(lengths).tolist()
    ranges = zip([0, *ends[:-1]], ends, strict=True)
    inside = [(max(start, first), min(stop, last)) for first, last in ranges]
    return [(first, last) for first, last in inside if first < last]


def share(total: int, shard: Shard) -> tuple[int, int]:
    """Returns (start, stop) of one of `count` parts of `total`."""
    index, count = shard
    return total * index // count, total * (index + 1) // count


def shuffled(dataset: Dataset, size: int, *seeds: int) -> Dataset:
    """Shuffles as `Dataset.shuffle` does, but as a function of its two seeds only.

    `Dataset.shuffle` also mixes in the seed that was given to `tf.random.set_seed`.

    Args:
        dataset: Dataset to shuffle.
        size: Number of elements in the buffer from which the next one is drawn.
        *seeds: Two whole numbers from 0.
    """
    spec = dataset.element_spec
    flat = tf.nest.flatten(spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=size,
        seed=seeds[0],
        seed2=seeds[1] + 1,  # both 0 would mean: any
        output_types=[tensor.dtype for tensor in flat],
        output_shapes=[tensor.shape for tensor in flat],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, spec)


def reason_of(error: BaseException) -> str:
    """Returns the message of an error of TensorFlow as one line, without names of its graph."""
    text = getattr(error, "message", None) or str(error)
    if isinstance(error, UnicodeDecodeError):  # what it would have said, without the data
        text = error.object.decode("utf-8", errors="replace").partition(", value: ")[0]
    # What Python raised inside of a pipeline: "ImageError: text", and where.
    text, python, _ = text.partition("\nTraceback (most recent call last)")
    text = text.rpartition("Error: ")[2] if python else text
    # Of an operation in a function: where it was defined, line by line, and then what it says.
    text = re.sub(r'\AGraph execution error:.*^ *File "[^\n]*\n', "", text, flags=re.M | re.S)
    text = re.sub(r"\{\{[^}]*\}\}|\[\[.*?\]\]|\[Op:\w+\].*", "", text, flags=re.DOTALL)
    return one_line(text, 500) if text.strip() else type(error).__name__


def _part(ranges: Ranges, start: int, stop: int) -> Ranges:
    """Elements `start` to `stop` of the concatenated ranges."""
    part, offset = [], 0
    for first, last in ranges:
        low, high = max(start - offset, 0), min(stop - offset, last - first)
        if low < high:
            part.append((first + low, first + high))
        offset += last - first
    return part
