"""Measures how fast .tflite files run here, what memory they take, and what XNNPACK leaves out.

Our own because LiteRT's `tools/benchmark_litert_model.py` measures one file at a time, and shows
neither memory nor operators. The speed of a machine drifts with its temperature and its other work,
so files and numbers of threads are measured in turn here, in several rounds.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from keras_poolformer.runtime.benchmark.inputs import random_image
from keras_poolformer.runtime.benchmark.memory import peak_memory
from keras_poolformer.runtime.interpreters import litert_errors, load_interpreter, read_model
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.runtime.workers import check_threads
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

RUNS = 50  # timed calls for each file and number of threads
ROUNDS = 5  # that the timed calls are spread over
WARM_UP_CALLS = 3
MAX_RUNS = 100_000

PathLike: TypeAlias = str | os.PathLike[str]
Progress: TypeAlias = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Latency:
    """Latency of one image, in milliseconds.

    Args:
        threads: Number of threads that share the work.
        min_ms: Shortest call.
        p50_ms: Median.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        relative_speed: Median of the first file divided by that of this file, with as many
            threads.
    """

    threads: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    relative_speed: float


@dataclass(frozen=True)
class Benchmark:
    """Measurements of one .tflite file.

    Args:
        path: Path of the file, as it was given.
        file_bytes: Size of the file.
        peak_memory_bytes: Additional resident memory, see `peak_memory`; None if unknown.
        latencies: Latency with each number of threads, in the order asked for.
        workers: Number of interpreters that shared the images when throughput was measured.
        images_per_second: Throughput of `TFLiteModel.run` with these workers of one thread each;
            the median of the rounds.
        operators: Number of operators in the file's main graph by name.
        partitions: Number of partitions into which XNNPACK took the graph; 1 is best.
        outside_xnnpack: Number of operators that LiteRT's own kernels run by name; {} is best.
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

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values."""
        return asdict(self) | {"latencies": [asdict(latency) for latency in self.latencies]}


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # in a container fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def benchmark_files(
    paths: Iterable[PathLike],
    threads: Iterable[int] | None = None,
    workers: int | None = None,
    runs: int = RUNS,
    progress: Progress | None = None,
) -> list[Benchmark]:
    """Measures .tflite files that take one image, of any origin, with random images.

    In each of five rounds every file is loaded, warmed up and timed, with every number of threads
    and then with the pool. A latency is the time of `Interpreter.invoke` only; throughput
    includes copying images in and scores out.

    Args:
        paths: Files to measure; speeds are relative to the first.
        threads: Numbers of threads to measure latency with; by default 1 and the number of cores.
        workers: Number of interpreters of one thread each that share the images when throughput
            is measured; by default the number of cores.
        runs: Number of timed calls for each file and number of threads, and for each worker.
        progress: Function that is called with (steps done, number of steps), or None.

    Returns:
        Measurements of each file, in order.

    Raises:
        InputError: A file is not a valid TFLite model of one image, or an argument is out of
            range.
        MissingExtraError: ai-edge-litert is not installed.
    """
    paths = list(paths)
    cores = available_cores()
    threads = sorted({1, cores}) if threads is None else list(dict.fromkeys(threads))
    workers = cores if workers is None else workers
    _check(paths, threads, workers, runs)
    calls = [len(block) for block in np.array_split(np.arange(runs), min(runs, ROUNDS))]
    steps = _Steps(progress, len(paths) * (1 + len(calls) * (len(threads) + 1)))

    # First, so that a file on which LiteRT crashes does not end this process.
    memory = [steps.done(peak_memory(path)) for path in paths]
    subjects = [_Subject(path) for path in paths]
    seconds: list[dict[int, list[float]]] = [{count: [] for count in threads} for _ in paths]
    rates: list[list[float]] = [[] for _ in paths]
    for calls_now in calls:
        for subject, times, rate in zip(subjects, seconds, rates, strict=True):
            for count in threads:
                times[count] += steps.done(subject.time_calls(count, calls_now))
            rate.append(steps.done(subject.images_per_second(workers, calls_now)))
    return [
        Benchmark(
            path=str(path),
            file_bytes=len(subject.model),
            peak_memory_bytes=peak,
            latencies=tuple(_latency(count, times, seconds[0]) for count in threads),
            workers=workers,
            images_per_second=float(np.median(rate)),
            operators=subject.operators,
            partitions=subject.partitions,
            outside_xnnpack=subject.outside_xnnpack,
        )
        for path, subject, peak, times, rate in zip(
            paths, subjects, memory, seconds, rates, strict=True
        )
    ]


class _Subject:
    """A file that is measured.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.model = read_model(path)
        model = TFLiteModel(path)
        self.image = random_image(model)
        self.operators = _counts(model.operators())
        self.partitions = model.partitions()
        self.outside_xnnpack = _counts(model.operators_outside_xnnpack())

    def time_calls(self, num_threads: int, calls: int) -> list[float]:
        """Returns how many seconds each of some calls took after a warm-up."""
        interpreter = load_interpreter(self.model, self.path, num_threads)
        seconds: list[float] = []
        with litert_errors(self.path):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], self.image[None])
            for _ in range(WARM_UP_CALLS):
                interpreter.invoke()
            for _ in range(calls):
                start = time.perf_counter()
                interpreter.invoke()
                seconds.append(time.perf_counter() - start)
        return seconds

    def images_per_second(self, workers: int, images_each: int) -> float:
        """Returns how many images a warm pool of interpreters classifies in a second."""
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
        progress: Function that is called with (steps done, number of steps), or None.
        total: Number of steps.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def done(self, result: Result) -> Result:
        """Counts one more step, and returns its result."""
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total)
        return result


def _check(paths: Sequence[PathLike], threads: Sequence[int], workers: int, runs: object) -> None:
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


def _latency(
    threads: int,
    seconds: Mapping[int, Sequence[float]],
    first_seconds: Mapping[int, Sequence[float]],
) -> Latency:
    """The latency with a number of threads, from {threads: seconds} of a file and the first."""
    milliseconds = np.multiply(seconds[threads], 1000)
    median, p90, p99 = (float(value) for value in np.percentile(milliseconds, (50, 90, 99)))
    first_median = float(np.median(first_seconds[threads])) * 1000
    return Latency(threads, float(milliseconds.min()), median, p90, p99, first_median / median)


def _counts(names: Iterable[str]) -> dict[str, int]:
    """{name: count}, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
