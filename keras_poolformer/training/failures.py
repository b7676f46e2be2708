"""Names the cause, in one line, when images or another worker end a training."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from keras_poolformer.data.splits.validation import name_broken
from keras_poolformer.support.errors import InputError
from keras_poolformer.training.run import Run
from keras_poolformer.training.strategy import Strategy

_DATA_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    UnicodeDecodeError,  # from an error whose message quotes bytes of the data
)
_PEER_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@contextlib.contextmanager
def failures_named(run: Run, strategy: Strategy) -> Iterator[None]:
    """Turns TensorFlow's errors within the block into an InputError that names the cause.

    Args:
        run: Run that is trained.
        strategy: Strategy that it is trained with.

    Raises:
        InputError: Images cannot be read, or another worker ended.
    """
    try:
        yield
    except _DATA_ERRORS as error:
        for split in filter(None, (run.training, run.evaluation)):
            named = name_broken(split, error)
            if named:
                raise named from error
        raise
    except _PEER_ERRORS as error:
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            raise
        raise InputError(
            "another worker has ended or cannot be reached: rerun the same command on all of them "
            f"to resume from the last checkpoint in {run.workdir} ({type(error).__name__})"
        ) from error
