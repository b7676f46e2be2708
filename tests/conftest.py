"""What several tests share: randomised PyTorch oracles, photographs, networks, processes."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import conversion  # noqa: F401 - PyTorch's libraries come before TensorFlow
from keras_poolformer import PoolFormerConfig
from keras_poolformer.sources.presets import ASSETS

ROOT = Path(__file__).parents[1]
# A network that no library has a name for.
ODD = PoolFormerConfig(
    depths=(1, 3, 2),
    widths=(24, 40, 72),
    pool_size=5,
    in_channels=4,
    num_classes=7,
)
TINY = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3)


def pytest_addoption(parser):
    parser.addoption(
        "--all-libraries",
        action="store_true",
        help="fail where tests are skipped because a Python library is missing",
    )


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
def pytest_collection_modifyitems(items):
    """Makes slow tests of the cases that `first` leaves out."""
    counts = Counter()
    for item in items:
        if marker := item.get_closest_marker("first"):
            test = item.nodeid.partition("[")[0]
            counts[test] += 1
            if counts[test] > marker.args[0]:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heeded():
    """Programs that a script starts in the background are started to ignore them."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def randomize():
    """A function that randomises a PyTorch module."""
    return _randomize


def _randomize(module, seed=0):
    """Randomises every parameter: fresh layer scales of 1e-5 would hide the blocks."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(noise * fan_in**-0.5)
            elif "bias" in name:
                parameter.copy_(0.2 * noise)
            else:  # norm weights and layer scales
                parameter.copy_(0.5 + 0.2 * noise)
    return module


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


@pytest.fixture(scope="session")
def run_python():
    """Runs Python in a process of its own; returns its `CompletedProcess`."""
    return _run_python


def _run_python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.fixture(scope="session")
def mediapipe_tasks():
    """mediapipe_tasks(task, models, images): {model: MediaPipe's answer to each image}."""
    script = ROOT / "tests" / "export" / "mediapipe_tasks.py"

    def mediapipe_tasks(task, models, images):
        done = _run_python(script, task, *models, "--", *images)
        if missing := re.search(r"(lib\S+): cannot open shared object file", done.stderr):
            pytest.skip(f"needs {missing[1]}: apt install libgles2 libegl1")
        return json.loads(done.stdout)

    return mediapipe_tasks
