"""Checks all images and targets before training starts, and names those that cannot be used."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_poolformer.data.decoding import decode
from keras_poolformer.data.splits.split import (
    READING_ERRORS,
    Dataset,
    Shard,
    Split,
    reason_of,
    share,
)
from keras_poolformer.support.errors import InputError

SHOWN = 20  # names of examples in an error
_SHOWN_LENGTH = 1300  # characters of all names together, which leaves room for the reason
_TOGETHER = 32  # examples that one thread checks in a row
# Errors that images do not cause.
_NOT_OF_DATA = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
)


def validate(
    split: Split, progress: Callable[[int, int], None] | None = None, shard: Shard = (0, 1)
) -> None:
    """Decodes every image and checks every label or mask.

    Args:
        split: Split to check.
        progress: Function to call with (examples checked, of how many), or None.
        shard: (index, count) of one of `count` parts of the examples.

    Raises:
        InputError: Images or masks cannot be decoded, labels are out of range, a mask has
            another size than its image, or the source itself cannot be read. The error names the
            first 20 or fewer and says how many there are.
    """
    error = _broken(split, progress, shard)
    if error is not None:
        raise error


def name_broken(split: Split, error: BaseException | None = None) -> InputError | None:
    """Finds the examples that `validate` rejects, after reading them has failed.

    Args:
        split: Split to check.
        error: Error of TensorFlow; if images cannot have caused it, nothing is checked.

    Returns:
        The InputError that names them, or None if there are none.
    """
    return None if isinstance(error, _NOT_OF_DATA) else _broken(split)


def _broken(
    split: Split, progress: Callable[[int, int], None] | None = None, shard: Shard = (0, 1)
) -> InputError | None:
    start, stop = share(split.num_examples, shard)
    found = np.zeros(stop - start, bool)
    problems: dict[int, str] = {}
    try:
        for numbers, texts in _checked(split, shard):
            found[numbers] = True
            problems |= {int(n): text for n, text in zip(numbers, texts, strict=True) if text}
            if progress:
                progress(int(np.count_nonzero(found)), stop - start)
    except InputError as error:
        return error
    except READING_ERRORS as error:
        return split.unreadable(error)
    broken, wrong = np.flatnonzero(~found).tolist(), sorted(problems)
    messages = []
    if broken:
        names = [split.describe(start + number) for number in broken[:SHOWN]]
        messages.append(
            f"{_count(broken, 'image')} of {split.name} cannot be read: {_listed(names, broken)} "
            f"({_reason(split, shard, broken[0])})"
        )
    if wrong:
        names = [f"{split.describe_target(start + n)} {problems[n]}" for n in wrong[:SHOWN]]
        messages.append(
            f"{_count(wrong, split.target.name)} of {split.name} {split.target.requirement}: "
            f"{_listed(names, wrong)}"
        )
    return InputError("; ".join(messages)) if messages else None


def checked(split: Split, raw: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Loads an example, decodes its image and checks its target; for `Dataset.map`.

    Args:
        split: Split of the example.
        raw: Element of `split.stream`.

    Returns:
        (what `split.load` returns; what is wrong with the target, or ""; shape of the image).
        TensorFlow would drop a decoding whose result nothing uses.
    """
    example = split.load(raw)
    pixels = decode(example["image"])
    return example, split.target.problem(example, pixels), tf.shape(pixels)


def _checked(split: Split, shard: Shard) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Batches of (number in the shard, what is wrong with the target) of images that are read."""

    @tf.autograph.experimental.do_not_convert
    def check(number: tf.Tensor, raw: Any) -> tuple[tf.Tensor, ...]:
        _, problem, shape = checked(split, raw)
        return number, problem, shape

    def check_together(numbers: tf.Tensor, raws: Any) -> Dataset:
        together = tf.data.Dataset.from_tensor_slices((numbers, raws)).map(check)
        # Not around the source, which would repeat an error of its own forever.
        return together.ignore_errors().batch(_TOGETHER)

    threads = os.cpu_count() or 1
    stream = split.stream(None, shard).enumerate().batch(_TOGETHER)
    results = stream.interleave(
        check_together, cycle_length=2 * threads, num_parallel_calls=threads, deterministic=False
    )
    for numbers, problems, _ in results.prefetch(tf.data.AUTOTUNE):
        yield numbers.numpy(), [problem.decode() for problem in problems.numpy()]


def _count(numbers: list[int], noun: str) -> str:
    return f"1 {noun}" if len(numbers) == 1 else f"{len(numbers):,} {noun}s"


def _listed(names: list[str], numbers: list[int]) -> str:
    lengths = np.cumsum([len(name) + 2 for name in names])
    names = names[: max(1, int(np.count_nonzero(lengths <= _SHOWN_LENGTH)))]
    left_out = len(numbers) - len(names)
    return ", ".join(names) + (f" and {left_out:,} more" if left_out else "")


def _reason(split: Split, shard: Shard, number: int) -> str:
    """The reason why an example cannot be read."""
    try:
        for raw in split.stream(None, shard).skip(number).take(1):
            checked(split, raw)
    except (InputError, *READING_ERRORS) as error:  # InputError: Pillow's, eagerly
        return reason_of(error)
    return "the image could be read the second time"
