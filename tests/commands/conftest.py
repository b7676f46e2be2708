"""What the tests of the command line share: one network in every format, and running a command."""

import re
import shutil

import pytest

from keras_poolformer.cli import main
from tests.helpers import CIFAR10_PHOTOS


@pytest.fixture(scope="session")
def random_weights(tiny_config):
    """random_weights(seed): {sail-sg's name: tensor}, every parameter randomized."""
    torch = pytest.importorskip("torch")
    from conversion.oracles import build_oracle, sail_name

    def random_weights(seed):
        module = build_oracle(tiny_config, "hf").module
        generator = torch.Generator().manual_seed(seed)
        return {
            sail_name(name): 0.3 + 0.2 * torch.randn(value.shape, generator=generator)
            for name, value in module.state_dict().items()
        }

    return random_weights


@pytest.fixture(scope="session")
def state(random_weights):
    return random_weights(seed=0)


@pytest.fixture(scope="session")
def files(state, tmp_path_factory):
    """One network as .pth, .safetensors, .keras and .tflite."""
    import torch
    from safetensors.torch import save as safetensors_bytes

    folder = tmp_path_factory.mktemp("tiny")
    torch.save({"state_dict": state}, folder / "tiny.pth.tar")
    (folder / "tiny.safetensors").write_bytes(safetensors_bytes(state, {"format": "pt"}))
    assert main(["convert", f"{folder}/tiny.pth.tar", "-o", f"{folder}/tiny.keras"]) == 0
    assert main(["export", f"{folder}/tiny.keras", "-o", f"{folder}/tiny.tflite"]) == 0
    return folder


@pytest.fixture
def out(tmp_path):
    """An empty folder for what a command writes."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def progress_line():
    """The pattern of the lines that say how far a command is."""
    return re.compile(r"\[\d/\d\] ")


@pytest.fixture
def run(capfd, progress_line):
    """Runs the command line in this process; returns (status, stdout, lines of stderr)."""

    def run(*arguments):
        capfd.readouterr()
        try:
            status = main([str(one) for one in arguments])
        except SystemExit as stop:  # how argparse ends
            status = stop.code
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if not progress_line.match(line)]
        return status, captured.out, lines

    return run


@pytest.fixture
def refusal(run, out):
    """Runs a command that must be refused, leaving `out` as it was; returns the message."""

    def refusal(*arguments):
        before = sorted(out.rglob("*"))
        status, printed, lines = run(*arguments)
        assert (status, printed) == (2, ""), lines
        (line,) = lines
        program, _, message = line.partition(": error: ")
        assert program == f"keras-poolformer {arguments[0]}"
        assert sorted(out.rglob("*")) == before
        return message

    return refusal


@pytest.fixture
def convert_refusal(refusal, out):
    """The message with which `convert SOURCE` is refused."""

    def convert_refusal(source, *options):
        return refusal("convert", source, "-o", out / "x.keras", *options)

    return convert_refusal


@pytest.fixture
def data(tmp_path):
    """The shipped CIFAR-10 images in class folders."""
    for photo in CIFAR10_PHOTOS:
        label = photo.stem.rpartition("_")[2]
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "data" / label)
    return tmp_path / "data"


@pytest.fixture
def numbered(tmp_path):
    """Nine photographs in the class folders 0, 1 and 2: two, three and four of them."""
    for number, photo in zip((0, 0, 1, 1, 1, 2, 2, 2, 2), CIFAR10_PHOTOS[:9], strict=True):
        (tmp_path / "numbered" / str(number)).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "numbered" / str(number))
    return tmp_path / "numbered"
