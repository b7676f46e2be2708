"""One image, one thread: contestants are checked against the Keras model, then called in turn."""

import contextlib

import numpy as np

from benchmarks.job import relative_error
from benchmarks.machine import busy_cores
from benchmarks.processes import Worker, measure
from keras_poolformer.support.errors import InputError

# Relative L2 distances from the Keras model. Measured: 6e-7, 4e-4, 0.03, 0.02, 0.04 on s12,
# 8e-7 (fewer blocks), 1.6e-3, 0.04, (dynamic_int4 not), 0.08 on caformer_s18; a wrong network, head
# or order of channels gives about 1.
MOST_ERROR = {"fp32": 1e-5, "fp16": 3e-3, "dynamic_int8": 0.1, "dynamic_int4": 0.3, "int8": 0.3}


def measure_latency(entries, rounds, calls, progress):
    """Starts a process for each entry, checks its logits, and measures all of them in rounds.

    Args:
        entries: {name: (job, contestant)}.
        rounds: Number of rounds.
        calls: Number of timed calls per round.
        progress: `Progress`, two steps of which are started: checking and measuring.

    Returns:
        ({name: error, None for a floor}, {name: seconds of each round}, cores that others kept
        busy).

    Raises:
        InputError: A contestant fails, or does not compute what its Keras model computes.
    """
    with contextlib.ExitStack() as stack:
        progress.start()
        workers = []
        for name, (job, contestant) in entries.items():
            workers.append(stack.enter_context(Worker(job, contestant, 1, name)))
            progress.advance(len(workers), len(entries))
        errors = {worker.name: checked_error(worker) for worker in workers}
        progress.start()
        plan = {worker.name: (1, calls) for worker in workers}
        busy = busy_cores()
        return errors, measure(workers, plan, rounds, progress.advance), busy


def checked_error(worker):
    """Relative L2 distance of a worker's logits from the Keras model's; None for a floor.

    Raises:
        InputError: It is too large.
    """
    logits, contestant = worker.check(), worker.contestant
    if contestant.kind == "floor":
        return None
    most = MOST_ERROR[contestant.arithmetic]
    error = relative_error(logits, np.load(worker.job.expected))
    if not error <= most:
        raise InputError(
            f"{worker.name} must be within {most:g} of the Keras model. Received: {error:.2g}"
        )
    return error
