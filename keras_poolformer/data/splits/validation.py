"""Reads every image before training does, and names those that cannot be used."""

import os

import numpy as np
import tensorflow as tf

from keras_poolformer.data.decoding import decode
from keras_poolformer.data.splits.split import READING_ERRORS, Split, reason_of, share
from keras_poolformer.support.errors import InputError

SHOWN = 20
_SHOWN_LENGTH = 1300  # characters of all names together, so that the reason still has room
_TOGETHER = 32  # examples that one thread checks in a row
_NOT_OF_DATA = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
)


def validate(split: Split, progress=None, shard=(0, 1)):
    """Decodes every image and checks every label.

    Args:
        split: a `Split`.
        progress: called with (examples that were read, of how many), or None.
        shard: (index, count) for one of `count` parts of the examples.

    Raises:
        InputError: images cannot be decoded, labels are out of range, or the source itself
            cannot be read. Names the first 20 or fewer and says how many there are.
    """
    error = _broken(split, progress, shard)
    if error is not None:
        raise error


def name_broken(split: Split, error=None):
    """Finds the examples that `validate` refuses, for when reading has failed all the same.

    Args:
        split: a `Split`.
        error: what TensorFlow raised; nothing is looked for where it cannot be of the data.

    Returns:
        The InputError that names them, or None if there are none.
    """
    return None if isinstance(error, _NOT_OF_DATA) else _broken(split)


def _broken(split, progress=None, shard=(0, 1)):
    start, stop = share(split.num_examples, shard)
    found, labels = np.zeros(stop - start, bool), np.zeros(stop - start, np.int64)
    try:
        for numbers, values in _checked(split, shard):
            found[numbers], labels[numbers] = True, values
            if progress:
                progress(int(np.count_nonzero(found)), stop - start)
    except InputError as error:
        return error
    except READING_ERRORS as error:
        return split.unreadable(error)
    broken = np.flatnonzero(~found)
    wrong = np.flatnonzero(found & ((labels < 0) | (labels >= len(split.class_names))))
    messages = []
    if broken.size:
        names = [split.describe(start + number) for number in broken[:SHOWN].tolist()]
        messages.append(
            f"{_count(broken, 'image')} of {split.name} cannot be read: {_listed(names, broken)} "
            f"({_reason(split, shard, int(broken[0]))})"
        )
    if wrong.size:
        shown = wrong[:SHOWN].tolist()
        names = [f"{split.describe(start + number)} has {labels[number]}" for number in shown]
        messages.append(
            f"{_count(wrong, 'label')} of {split.name} must be 0 to {len(split.class_names) - 1}: "
            f"{_listed(names, wrong)}"
        )
    return InputError("; ".join(messages)) if messages else None


def checked(split: Split, raw):
    """`split.load`, and a proof that the image was decoded; for `Dataset.map`.

    Returns:
        (what `split.load` returns, the image's shape): decoding that led to nothing would be
        left out of the graph.
    """
    example = split.load(raw)
    return example, tf.shape(decode(example["image"]))


def _checked(split, shard):
    """Batches of (place in the shard, label) of the examples that can be used."""

    @tf.autograph.experimental.do_not_convert
    def check(number, raw):
        example, shape = checked(split, raw)
        return number, example["label"], shape

    def check_together(numbers, raws):
        together = tf.data.Dataset.from_tensor_slices((numbers, raws)).map(check)
        # Not around the source, which would go on for ever after an error of its own.
        return together.ignore_errors().batch(_TOGETHER)

    threads = os.cpu_count() or 1
    stream = split.stream(None, shard).enumerate().batch(_TOGETHER)
    results = stream.interleave(
        check_together, cycle_length=2 * threads, num_parallel_calls=threads, deterministic=False
    )
    for numbers, labels, _ in results.prefetch(tf.data.AUTOTUNE):
        yield numbers.numpy(), labels.numpy()


def _count(numbers, noun):
    return f"1 {noun}" if len(numbers) == 1 else f"{len(numbers):,} {noun}s"


def _listed(names, numbers):
    lengths = np.cumsum([len(name) + 2 for name in names])
    names = names[: max(1, int(np.count_nonzero(lengths <= _SHOWN_LENGTH)))]
    left_out = len(numbers) - len(names)
    return ", ".join(names) + (f" and {left_out:,} more" if left_out else "")


def _reason(split, shard, number):
    """Why an example cannot be read."""
    try:
        for raw in split.stream(None, shard).skip(number).take(1):
            checked(split, raw)
    except (InputError, *READING_ERRORS) as error:  # outside of a pipeline, Pillow's is as it is
        return reason_of(error)
    return "it can be read now"
