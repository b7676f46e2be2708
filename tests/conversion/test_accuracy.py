"""PyTorch's class and Keras, on the same images."""

import shutil

import pytest

from conversion.__main__ import main
from keras_poolformer.cli import main as keras_main
from keras_poolformer.shipped import ASSETS
from keras_poolformer.variants import VARIANTS
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


def test_a_checkpoint_that_fits_two_networks(data, tmp_path_factory, capsys):
    oracles = pytest.importorskip("conversion.oracles")
    config = VARIANTS["poolformerv2_s12"].replace(
        depths=(1, 1, 1, 1), widths=(8, 16, 24, 32), num_classes=10
    )
    path = tmp_path_factory.mktemp("weights") / "x.pth"
    oracles.torch.save(oracles.build_oracle(config, "timm").state_dict(), path)
    command = ["evaluate", str(path), "--data", str(data)]
    assert main(command) == 2
    assert "--architecture" in capsys.readouterr().err
    assert main([*command, "--architecture", "poolformerv2_s12"]) == 0
    assert "MetaFormer: 24 images: top-1" in capsys.readouterr().out


def test_a_keras_file_is_refused(tmp_path, capsys):
    assert keras_main(["convert", PRESET, "-o", f"{tmp_path}/x.keras"]) == 0
    assert main(["evaluate", f"{tmp_path}/x.keras", "--data", str(tmp_path)]) == 2
    assert "give the PyTorch checkpoint" in capsys.readouterr().err
