"""How fast .tflite files run here, what memory they take, and what XNNPACK leaves out.

The speed of a machine drifts while it works: with its temperature, and with what else it runs.
So files and thread counts are measured in turn, in several rounds, and never one after another.
"""

import os
import time
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from keras_poolformer.runtime.benchmark.inputs import random_image
from keras_poolformer.runtime.benchmark.memory import peak_memory
from keras_poolformer.runtime.interpreters import litert_errors, load_interpreter, read_model
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.runtime.workers import check_threads
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

RUNS = 50
ROUNDS = 5
WARM_UP_CALLS = 3
MAX_RUNS = 100_000


@dataclass(frozen=True)
class Latency:
    """How long one image takes, in milliseconds.

    Args:
        threads: inside the call.
        min_ms: the shortest call.
        p50_ms: the median.
        p90_ms: nine calls in ten were no longer.
        p99_ms: nor were 99 in a hundred.
        relative_speed: median of the first file by that of this one, at as many threads.
    """

    threads: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    relative_speed: float


@dataclass(frozen=True)
class Benchmark:
    """What was measured of one .tflite file.

    Args:
        path: the file, as it was given.
        file_bytes: its size.
        peak_memory_bytes: additional resident memory, see `peak_memory`; None if unknown.
        latencies: one `Latency` for each thread count, in the order asked for.
        workers: interpreters that shared the images when throughput was measured.
        images_per_second: throughput of `TFLiteModel.run` with these workers of one
            thread each; the median of the rounds.
        operators: {name: count} of the file's main graph.
        partitions: pieces that XNNPACK took of it; 1 is best.
        outside_xnnpack: {name: count} of the operators that LiteRT's own kernels run; {} is
            best.
    """

    path: str
    file_bytes: int
    peak_memory_bytes: int | None
    latencies: tuple[Latency, ...]
    workers: int
    images_per_second: float
    operators: dict[str, int]
    partitions: int
    outside_xnnpack: dict[str, int]

    def to_dict(self):
        """Returns the fields as JSON can hold them."""
        return asdict(self) | {"latencies": [asdict(one) for one in self.latencies]}


def available_cores():
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # fewer than the machine has, in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def benchmark_files(paths, threads=None, workers=None, runs=RUNS, progress=None):
    """Measures .tflite files that take one image, of any origin, with random images.

    In each of five rounds every file is loaded, warmed up and timed, with every thread count
    and then with the pool. A latency is the time of `Interpreter.invoke` alone; throughput
    includes copying images in and scores out.

    Args:
        paths: the files; speeds are relative to the first.
        threads: thread counts to measure latency at; by default 1 and the number of cores.
        workers: interpreters of one thread each that share the images when throughput is
            measured; by default the number of cores.
        runs: timed calls for each file and thread count, and for each worker of a pool.
        progress: called with (steps done, all steps).

    Returns:
        One `Benchmark` for each path, in order.

    Raises:
        InputError: a file is no TFLite model of one image, or an argument is out of bounds.
        MissingExtraError: ai-edge-litert is not installed.
    """
    paths = list(paths)
    cores = available_cores()
    threads = sorted({1, cores}) if threads is None else list(dict.fromkeys(threads))
    workers = cores if workers is None else workers
    _check(paths, threads, workers, runs)
    calls = [len(block) for block in np.array_split(np.arange(runs), min(runs, ROUNDS))]
    steps = _Steps(progress, len(paths) * (1 + len(calls) * (len(threads) + 1)))

    # First, so that a file on which LiteRT crashes ends another process than this one.
    memory = [steps.done(peak_memory(path)) for path in paths]
    subjects = [_Subject(path) for path in paths]
    seconds = [{count: [] for count in threads} for _ in paths]
    rates = [[] for _ in paths]
    for calls_now in calls:
        for subject, times, rate in zip(subjects, seconds, rates, strict=True):
            for count in threads:
                times[count] += steps.done(subject.time_calls(count, calls_now))
            rate.append(steps.done(subject.images_per_second(workers, calls_now)))
    return [
        Benchmark(
            path=str(subject.path),
            file_bytes=len(subject.model),
            peak_memory_bytes=peak,
            latencies=tuple(_latency(count, times, seconds[0]) for count in threads),
            workers=workers,
            images_per_second=float(np.median(rate)),
            operators=subject.operators,
            partitions=subject.partitions,
            outside_xnnpack=subject.outside_xnnpack,
        )
        for subject, peak, times, rate in zip(subjects, memory, seconds, rates, strict=True)
    ]


class _Subject:
    """A file that is measured.

    Args:
        path: the file.
    """

    def __init__(self, path):
        self.path, self.model = path, read_model(path)
        model = TFLiteModel(path)
        self.image = random_image(model)
        self.operators = _counts(model.operators())
        self.partitions = model.partitions()
        self.outside_xnnpack = _counts(model.operators_outside_xnnpack())

    def time_calls(self, num_threads, calls):
        """The seconds that each of some calls took, after a warm-up."""
        interpreter = load_interpreter(self.model, self.path, num_threads)
        seconds = []
        with litert_errors(self.path):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], self.image[None])
            for _ in range(WARM_UP_CALLS):
                interpreter.invoke()
            for _ in range(calls):
                start = time.perf_counter()
                interpreter.invoke()
                seconds.append(time.perf_counter() - start)
        return seconds

    def images_per_second(self, workers, images_each):
        """How many images a warm pool of interpreters classifies in a second."""
        model = TFLiteModel(self.path, num_workers=workers)
        model.warm_up()
        images = np.broadcast_to(self.image, (workers * images_each, *self.image.shape))
        model.run(images[: workers * WARM_UP_CALLS])
        start = time.perf_counter()
        model.run(images)
        return len(images) / (time.perf_counter() - start)


class _Steps:
    """Counts the steps of a benchmark.

    Args:
        progress: called with (steps done, all steps), or None.
        total: all steps.
    """

    def __init__(self, progress, total):
        self._progress, self._total, self._done = progress, total, 0

    def done(self, result):
        """Counts one more step, and returns its result."""
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)
        return result


def _check(paths, threads, workers, runs):
    if not paths or not threads:
        name = "threads" if paths else "paths"
        raise InputError(f"`{name}` must not be empty")
    for count in threads:
        check_threads(threads=count)
    check_threads(workers=workers)
    if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MAX_RUNS:
        raise InputError(
            f"`runs` must be a whole number from 1 to {MAX_RUNS:,}. Received: {shown(runs)}"
        )


def _latency(threads, seconds, first_seconds):
    """The `Latency` at a thread count, from {thread count: seconds} of a file and the first."""
    milliseconds = np.multiply(seconds[threads], 1000)
    median, p90, p99 = (float(one) for one in np.percentile(milliseconds, (50, 90, 99)))
    first_median = float(np.median(first_seconds[threads])) * 1000
    return Latency(threads, float(milliseconds.min()), median, p90, p99, first_median / median)


def _counts(names):
    """{name: count}, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda one: (-one[1], one[0])))
