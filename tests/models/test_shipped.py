"""The classifiers inside the package, and how they get there."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conversion import cifar10
from conversion.__main__ import main
from keras_poolformer import MetaFormerImageClassifier, save_torch_weights
from keras_poolformer.shipped import ASSETS
from keras_poolformer.training import get_recipe
from tests.helpers import DEMO, relative_error

CLASSIFIERS = ("convformer_tiny_cifar10", "poolformer_tiny_cifar10")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_are_those_of_the_pytorch_class(name):
    """Measured: 5.8e-7."""
    model = MetaFormerImageClassifier.from_preset(name)
    recipe = get_recipe(name)
    assert (model.config.replace(labels=None), model.transform) == (recipe.config, recipe.transform)
    stored = json.loads((ASSETS / name / "torch_logits.json").read_text(encoding="utf-8"))
    images = model.transform([ASSETS / "photos" / photo for photo in stored])
    error = relative_error(model.predict_on_batch(images), list(stored.values()))
    print(error)
    assert error <= 2e-6


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_files_are_small(name):
    assert (ASSETS / name / "model.safetensors").stat().st_size <= 6e6


def test_the_demo_is_right_on_nine_in_ten_test_images():
    card = json.loads((ASSETS / DEMO / "preset.json").read_text(encoding="utf-8"))
    assert card["top1"] >= 90


@pytest.fixture
def few_images(tmp_path, monkeypatch):
    """A folder with 30 test images, of which 24 are shipped; they are classified 12 at once."""
    monkeypatch.setattr("conversion.pack_demo.BATCH", 12)
    records = np.random.default_rng(0).integers(0, 10, (30, cifar10.RECORD_BYTES), np.uint8)
    records.tofile(tmp_path / "test_batch.bin")
    return tmp_path


def test_a_trained_network_is_packed(few_images, tmp_path, capsys):
    """A checkpoint as `train-demo` writes it, in transformers' names."""
    source = ASSETS / "poolformer_tiny_cifar10"
    trained, checkpoint = tmp_path / "hf", tmp_path / "best.pt"
    save_torch_weights(MetaFormerImageClassifier.from_preset(source.name), trained, layout="hf")
    torch.save(load_file(trained / "model.safetensors"), checkpoint)
    options = ["--preset", "poolformer_tiny_cifar10", "--data", str(few_images)]
    options += ["--assets", str(tmp_path / "assets")]
    assert main(["pack-demo", str(checkpoint), *options]) == 0
    assert "model.safetensors: 4.49 MB" in capsys.readouterr().out
    packed = tmp_path / "assets" / source.name
    card, shipped = (
        json.loads((folder / "preset.json").read_text(encoding="utf-8"))
        for folder in (packed, source)
    )
    assert card["sha256"] == shipped["sha256"] and card.keys() == shipped.keys()

    images, labels = cifar10.load_split(few_images, "test")
    model = MetaFormerImageClassifier.from_preset(source.name)
    logits = model.predict_on_batch(model.transform([Image.fromarray(image) for image in images]))
    assert card["top1"] == pytest.approx(100 * (logits.argmax(1) == labels).mean(), abs=0.01)
    stored = json.loads((packed / "torch_logits.json").read_text(encoding="utf-8"))
    assert relative_error(logits[:24], list(stored.values())) <= 2e-6
    photo = tmp_path / "assets" / "photos" / list(stored)[23]
    assert (np.asarray(Image.open(photo)) == images[23]).all()


def test_only_shipped_presets_are_packed(few_images, capsys):
    options = ["--preset", "poolformer_s12", "--data", str(few_images)]
    assert main(["pack-demo", "poolformer_tiny_cifar10", *options]) == 2
    names = ", ".join(CLASSIFIERS)
    assert f"--preset must be one of {names}. Received: poolformer_s12" in capsys.readouterr().err
