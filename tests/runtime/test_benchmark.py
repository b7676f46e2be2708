"""The benchmark: what is measured in which order, and the figures made of it."""

import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier, export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.benchmark import latency
from keras_poolformer.runtime.benchmark.inputs import random_image
from keras_poolformer.runtime.benchmark.latency import WARM_UP_CALLS, benchmark_files
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    config = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=4)
    path = tmp_path_factory.mktemp("tflite") / "m.tflite"
    export_tflite(PoolFormerImageClassifier(config), path)
    return path


@pytest.fixture
def no_memory(monkeypatch):
    """Without the processes that measure memory."""
    monkeypatch.setattr(latency, "peak_memory", lambda path: 1000)


@pytest.fixture
def log(monkeypatch, no_memory):
    """What is measured, in order; the times are made up, and the second file's are doubled."""
    log = []

    def time_calls(subject, num_threads, calls):
        log.append((subject.path.stem, num_threads, calls))
        before = sum(one[2] for one in log[:-1] if one[:2] == log[-1][:2])
        factor = 2 if subject.path.stem == "slow" else 1
        return [factor * num_threads * (before + call) / 1000 for call in range(1, calls + 1)]

    def images_per_second(subject, workers, images_each):
        log.append((subject.path.stem, "pool", images_each))
        return 10.0 * len(log)

    monkeypatch.setattr(latency._Subject, "time_calls", time_calls)
    monkeypatch.setattr(latency._Subject, "images_per_second", images_per_second)
    return log


@pytest.fixture
def two(path, tmp_path):
    """The same network twice, under two names."""
    for name in ("fast", "slow"):
        (tmp_path / f"{name}.tflite").write_bytes(path.read_bytes())
    return [tmp_path / "fast.tflite", tmp_path / "slow.tflite"]


def test_files_and_thread_counts_take_turns(log, two):
    benchmark_files(two, threads=[1, 3], workers=2, runs=12)
    rounds = [
        (name, what, calls)
        for calls in (3, 3, 2, 2, 2)
        for name in ("fast", "slow")
        for what in (1, 3, "pool")
    ]
    assert log == rounds


def test_percentiles_and_relative_speed(log, two):
    fast, slow = benchmark_files(two, threads=[1, 3], runs=100)
    for result, factor in ((fast, 1), (slow, 2)):
        for one, threads in zip(result.latencies, (1, 3), strict=True):
            unit = factor * threads  # the times are 1, 2, ... 100 of it
            figures = (one.min_ms, one.p50_ms, one.p90_ms, one.p99_ms)
            assert figures == pytest.approx(np.array([1, 50.5, 90.1, 99.01]) * unit)
            assert (one.threads, one.relative_speed) == (threads, pytest.approx(1 / factor))
    pools = [10.0 * index for index, one in enumerate(log, 1) if one[:2] == ("slow", "pool")]
    assert slow.images_per_second == np.median(pools)


def test_few_runs_and_defaults(log, two, monkeypatch):
    monkeypatch.setattr(latency, "available_cores", lambda: 6)
    (result,) = benchmark_files(two[:1], runs=2)
    assert [one.threads for one in result.latencies] == [1, 6] and result.workers == 6
    assert log == [("fast", what, 1) for _ in range(2) for what in (1, 6, "pool")]


def test_the_warm_up_is_not_timed(path, monkeypatch):
    """The first calls take a hundred times as long, on a clock that only calls move."""
    clock = SimpleNamespace(now=0.0, calls=0)

    class Interpreter:
        def get_input_details(self):
            return [{"index": 7}]

        def set_tensor(self, index, image):
            assert (index, image.shape) == (7, (1, 224, 224, 3))

        def invoke(self):
            clock.calls += 1
            clock.now += 100 if clock.calls <= WARM_UP_CALLS else 1

    subject = latency._Subject(path)
    monkeypatch.setattr(latency, "load_interpreter", lambda *arguments: Interpreter())
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    assert subject.time_calls(1, 4) == [1, 1, 1, 1]


def test_each_interpreter_gets_its_threads(path, no_memory, monkeypatch):
    counts = []

    def load(model, path, num_threads):
        counts.append(num_threads)
        return benchmark_load(model, path, num_threads)

    benchmark_load = latency.load_interpreter
    monkeypatch.setattr(latency, "load_interpreter", load)
    benchmark_files([path], threads=[2, 1], workers=1, runs=1)
    assert counts == [2, 1]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_pool_has_an_interpreter_for_each_worker(workers, path, monkeypatch):
    used = Counter()

    def predict_one(classifier, image):
        used[threading.get_ident(), id(classifier._interpreter())] += 1
        return original(classifier, image)

    original = TFLiteModel._run_one
    monkeypatch.setattr(TFLiteModel, "_run_one", predict_one)
    assert latency._Subject(path).images_per_second(workers, 5) > 0
    assert len(used) == len({thread for thread, _ in used}) == workers
    assert sum(used.values()) == workers * (1 + WARM_UP_CALLS + 5)


def test_workers_run_at_the_same_time(path, monkeypatch):
    """Each waits inside until three are there: fewer would wait in vain."""
    meeting = threading.Barrier(3)

    def predict_one(classifier, image):
        meeting.wait(timeout=20)
        return {"logits": np.zeros(4, "float32")}

    monkeypatch.setattr(TFLiteModel, "_run_one", predict_one)
    latency._Subject(path).images_per_second(3, 4)


def test_the_result_of_a_real_run(path, channels_first):
    steps = []
    results = benchmark_files(
        [path, channels_first], threads=[1], workers=2, runs=2, progress=lambda *s: steps.append(s)
    )
    for result, file in zip(results, (path, channels_first), strict=True):
        assert (result.path, result.file_bytes) == (str(file), file.stat().st_size)
        (latency,) = result.latencies
        assert 0 < latency.min_ms <= latency.p50_ms <= latency.p90_ms <= latency.p99_ms
        assert result.images_per_second > 0 and result.peak_memory_bytes > result.file_bytes
        assert (result.partitions, result.outside_xnnpack) == (1, {})
        assert result.operators == Counter(TFLiteClassifier(file).operators())
    assert {"TRANSPOSE": 1, "CONV_2D": 1}.items() <= results[1].operators.items()
    first, second = (result.latencies[0] for result in results)
    assert first.relative_speed == 1
    assert second.relative_speed == pytest.approx(first.p50_ms / second.p50_ms)
    total = 2 * (1 + 2 * 2)
    assert steps == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_random_images(dtype):
    classifier = SimpleNamespace(input_shape=(64, 64, 3), input_dtype=np.dtype(dtype))
    image = random_image(classifier)
    assert (image.shape, image.dtype) == ((64, 64, 3), dtype)
    if dtype == "float32":
        assert abs(image.mean()) < 0.05 and image.std() == pytest.approx(1, abs=0.05)
    else:
        assert (image.min(), image.max()) == (np.iinfo(dtype).min, np.iinfo(dtype).max)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"paths": []}, "`paths` must not be empty"),
        ({"threads": []}, "`threads` must not be empty"),
        ({"threads": [1, 0]}, "`threads` must be a whole number from 1 to 1024. Received: 0"),
        ({"workers": 1025}, "`workers` must be a whole number from 1 to 1024. Received: 1025"),
        ({"workers": 1.5}, "Received: 1.5"),
        ({"runs": 0}, "`runs` must be a whole number from 1 to 100,000. Received: 0"),
        ({"runs": 10**20}, "Received: 100000000000000000000"),
    ],
)
def test_arguments_out_of_bounds(arguments, says, path):
    with pytest.raises(InputError, match=says.replace(".", r"\.")):
        benchmark_files(**{"paths": [path]} | arguments)


IMAGE = tf.TensorSpec((1, 4, 4, 3))
REFUSED = {
    "two inputs": (lambda a, b: a + b, [IMAGE, IMAGE]),
    "a vector": (lambda a: a + 1, [tf.TensorSpec((1, 48))]),
    "a batch": (lambda a: a + 1, [tf.TensorSpec((2, 4, 4, 3))]),
    "any size": (lambda a: a + 1, [tf.TensorSpec((1, None, None, 3))]),
}


@pytest.mark.first(1)
@pytest.mark.parametrize("name", REFUSED)
def test_files_of_other_than_one_image_are_refused(name, foreign):
    function, specs = REFUSED[name]
    with pytest.raises(InputError, match="must have one input, an image of a fixed size"):
        benchmark_files([foreign(function, *specs)], runs=1)


def test_other_types_than_numbers_are_refused(foreign):
    path = foreign(tf.logical_not, tf.TensorSpec((1, 4, 4, 1), tf.bool))
    with pytest.raises(InputError, match=r"must take floats or integers\. Received: bool"):
        benchmark_files([path], runs=1)
