"""What several tests share: pytest's options, networks, photographs, exported files, MediaPipe."""

import gc
import json
import re
import signal
from collections import Counter

import pytest
from PIL import Image

import conversion  # noqa: F401 - PyTorch's libraries come before TensorFlow
from keras_poolformer.shipped import ASSETS
from tests.helpers import ODD, PRESET, ROOT, TINY, run_python
from tests.shared import shared_folder

# The tiny preset as `export` writes it with these options.
EXPORTS = {
    "saved_model": ("--recipe", "saved_model"),
    "fp32.tflite": ("--recipe", "fp32", "--inputs", "normalized"),
    "dynamic_int8.tflite": ("--recipe", "dynamic_int8"),
    "pixels.tflite": ("--inputs", "pixels", "--outputs", "probabilities"),
}


def pytest_addoption(parser):
    parser.addoption(
        "--all-libraries",
        action="store_true",
        help="fail where tests are skipped because a Python library is missing",
    )
    parser.addoption(
        "--first-cases",
        action="store_true",
        help="run the first case of each parametrized test that is not slow",
    )


def pytest_configure():
    """Lets the garbage collector look more rarely: TensorFlow and Keras make much and keep most."""
    gc.set_threshold(20_000, 10, 10)


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("all_libraries") or reporter is None:
        return
    missing = [
        report.longrepr[2]
        for report in reporter.stats.get("skipped", [])
        if "could not import" in report.longrepr[2]
    ]
    if missing:
        reporter.write_line(f"{len(missing)} skipped for a missing library: {missing[0]}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(config, items):
    """Marks the cases that `first` leaves out as slow; keeps the first ones for --first-cases."""
    cases = Counter()
    for item in items:
        if marker := item.get_closest_marker("first"):
            cases[_test_of(item)] += 1
            if cases[_test_of(item)] > marker.args[0]:
                item.add_marker(pytest.mark.slow)
    if config.getoption("first_cases"):
        firsts = {_test_of(item): item for item in reversed(items) if not _is_slow(item)}
        left_out = [item for item in items if firsts.get(_test_of(item)) is not item]
        items[:] = [item for item in items if firsts.get(_test_of(item)) is item]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish():
    """Spares the garbage collector what was imported, which is never garbage."""
    gc.collect()
    gc.freeze()


def _test_of(item):
    return item.nodeid.partition("[")[0]


def _is_slow(item):
    return item.get_closest_marker("slow") is not None


@pytest.fixture(scope="session", autouse=True)
def signals_are_heeded():
    """Programs that a script starts in the background are started to ignore them."""
    handlers = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):  # not on Windows
        handlers[signal.SIGHUP] = signal.SIG_DFL
    for number, handler in handlers.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def odd_config():
    return ODD


@pytest.fixture(scope="session")
def tiny_config():
    """A network of four stages that is small enough for every test."""
    return TINY


@pytest.fixture(scope="session")
def photographs():
    """Real photographs, as files."""
    return sorted((ASSETS / "photos").glob("*.jpg"))


@pytest.fixture(scope="session")
def rgb_photographs(photographs):
    """Three real photographs as RGB images of Pillow."""
    return [Image.open(file).convert("RGB") for file in photographs[:3]]


@pytest.fixture(scope="session")
def photographs_of(rgb_photographs):
    """photographs_of(sizes): one RGB image of each (width, height), from real photographs."""

    def photographs_of(sizes):
        for index, size in enumerate(sizes):
            photo = rgb_photographs[index % len(rgb_photographs)]
            yield photo.resize(size, Image.Resampling.BILINEAR)

    return photographs_of


@pytest.fixture(scope="session")
def images(photographs):
    """Two real photographs as normalised float32 (2, 224, 224, 3)."""
    from keras_poolformer import ImageTransform

    return ImageTransform()(photographs[:2])


class Exports:
    """The tiny preset in the formats of `EXPORTS`: `exports / name` is a path.

    A file is made when it is first asked for.
    """

    def __init__(self, tmp_path_factory):
        self._tmp_path_factory = tmp_path_factory

    def __truediv__(self, path):
        from keras_poolformer.cli import main

        def export(folder):
            assert main(["export", PRESET, *EXPORTS[name], "-o", str(folder / name)]) == 0

        name = path.partition("/")[0].removesuffix(".json")
        return shared_folder(self._tmp_path_factory, f"export_{name}", export) / path


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """See `Exports`."""
    return Exports(tmp_path_factory)


@pytest.fixture(scope="session")
def mediapipe_tasks():
    """mediapipe_tasks(task, models, images): {model: MediaPipe's answer to each image}."""
    script = ROOT / "tests" / "export" / "mediapipe_tasks.py"

    def mediapipe_tasks(task, models, images):
        done = run_python(script, task, *models, "--", *images)
        if missing := re.search(r"(lib\S+): cannot open shared object file", done.stderr):
            pytest.skip(f"needs {missing[1]}: apt install libgles2 libegl1 libgl1 libglib2.0-0")
        return json.loads(done.stdout)

    return mediapipe_tasks
