"""PyTorch's class and Keras, on the same images."""

import shutil

import pytest

from conversion.__main__ import main
from keras_poolformer.cli import main as keras_main
from keras_poolformer.shipped import ASSETS
from tests.helpers import PRESET


@pytest.fixture
def data(tmp_path):
    for photo in (ASSETS / "photos").glob("cifar10_test_*_*.png"):
        folder = tmp_path / photo.stem.rpartition("_")[2]
        folder.mkdir(exist_ok=True)
        shutil.copy(photo, folder)
    return tmp_path


def test_pytorch_is_as_accurate_as_keras(data, capsys):
    assert main(["evaluate", PRESET, "--data", str(data)]) == 0
    theirs = capsys.readouterr().out
    assert keras_main(["evaluate", PRESET, "--data", str(data)]) == 0
    ours = capsys.readouterr().out
    assert theirs == f"transformers.PoolFormerForImageClassification: {ours}"


def test_a_keras_file_is_refused(tmp_path, capsys):
    assert keras_main(["convert", PRESET, "-o", f"{tmp_path}/x.keras"]) == 0
    assert main(["evaluate", f"{tmp_path}/x.keras", "--data", str(tmp_path)]) == 2
    assert "give the PyTorch checkpoint" in capsys.readouterr().err
