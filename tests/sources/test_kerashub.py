"""Folders that KerasHub 0.32.0 wrote around classes of `keras_poolformer.hub`, read without it.

Their weights are random; `expected.json` has the outputs that KerasHub computed with them.
"""

import json
import shutil
import sys

import keras
import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
)
from keras_poolformer.sources import resolve
from tests.helpers import ROOT, TINY, error_line, randomized_model, relative_error

FILES = ROOT / "tests" / "earlier_files" / "keras_hub_0_32_0"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-6  # measured 0, on the machine that wrote them


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A copy of the classifier's folder, to be changed."""
    return shutil.copytree(FILES / "classifier", tmp_path / "classifier")


def edit(file, **changes):
    """Changes entries of a JSON file."""
    file.write_text(
        json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes),
        encoding="utf-8",
        newline="\n",
    )


def test_a_classifier(images):
    model = PoolFormerImageClassifier.from_preset(FILES / "classifier")
    assert relative_error(model(images), EXPECTED["logits"]) <= TOLERANCE
    assert model.labels == ("cat", "dog", "owl")
    assert model.transform == ImageTransform(size=32, crop_pct=0.8)
    assert model.provenance["source"] == "classifier"
    assert "keras_hub" not in sys.modules


def test_a_backbone_with_its_norms(folder, images):
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.weights.h5"):
            file.unlink()
    model = PoolFormerBackbone.from_preset(folder)
    assert model.config.feature_norms is True
    assert model.transform == ImageTransform(size=32, crop_pct=0.8)
    for level, features in model.feature_extractor()(images).items():
        assert np.linalg.norm(features) == pytest.approx(EXPECTED["pyramid"][level], rel=TOLERANCE)


def test_a_segmenter(images):
    """KerasHub's has the size of the images; PyTorch resizes ours to it."""
    torch = pytest.importorskip("torch")
    model = PoolFormerSegmenter.from_preset(FILES / "segmenter")
    logits = torch.from_numpy(np.array(model(images))).permute(0, 3, 1, 2)
    full = torch.nn.functional.interpolate(logits, (32, 32), mode="bilinear")
    received = full.permute(0, 2, 3, 1)[:, ::8, ::8]
    # Measured 8e-8.
    assert relative_error(received, EXPECTED["segmenter"]) <= TOLERANCE


def test_other_classes_start_fresh():
    model = PoolFormerImageClassifier.from_preset(FILES / "classifier", num_classes=7)
    assert model.provenance["new_tensors"] == ["head/kernel", "head/bias"]
    assert model.output_shape == (None, 7)


def test_a_task_of_another_library_counts_as_its_backbone(folder):
    edit(folder / "task.json", registered_name="keras_hub>ImageClassifier")
    assert resolve(folder).read(weights=False).is_backbone


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_what_was_saved_is_described_without_weights(name):
    contents = resolve(FILES / name).read(weights=False)
    assert contents.saved is None
    assert not contents.is_backbone
    assert contents.config.is_segmenter == (name == "segmenter")


DAMAGE = {
    "another library's backbone": (
        lambda folder: edit(folder / "config.json", registered_name="keras_hub>ViTBackbone"),
        "keras_hub>ViTBackbone",
    ),
    "no arguments": (lambda folder: edit(folder / "config.json", config=None), "config.json"),
    "no architecture": (lambda folder: edit(folder / "config.json", config={}), "`config`"),
    "no arguments of the task": (lambda folder: edit(folder / "task.json", config=3), "task.json"),
    "no transform": (
        lambda folder: edit(folder / "image_converter.json", config=None),
        "image_converter.json",
    ),
    "no head": (lambda folder: (folder / "task.weights.h5").unlink(), "task.weights.h5"),
    "no weights": (lambda folder: (folder / "model.weights.h5").unlink(), "model.weights.json"),
    "another file of weights": (
        lambda folder: shutil.copy(folder / "task.weights.h5", folder / "model.weights.h5"),
        "weights of shape",
    ),
    "no HDF5": (
        lambda folder: (folder / "model.weights.h5").write_bytes(b"PK"),
        "weights cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_in_one_line(damage, folder):
    change, expected = DAMAGE[damage]
    change(folder)
    assert expected in error_line(PoolFormerImageClassifier.from_preset, folder)


def test_other_dtypes_are_named(folder):
    arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
    edit(folder / "config.json", config=arguments | {"dtype": "int8"})
    assert "int8" in error_line(resolve, folder)


@pytest.mark.parametrize("shards", [["../outside.weights.h5"], "/etc/passwd", 3, []])
def test_shards_are_files_of_the_folder(folder, shards):
    (folder / "model.weights.h5").unlink()
    (folder / "model.weights.json").write_text(
        json.dumps({"weight_map": {"a": shards}}), encoding="utf-8", newline="\n"
    )
    assert "names the shard" in error_line(PoolFormerImageClassifier.from_preset, folder)


# A gigabyte; about half of the network; no limit.
@pytest.mark.parametrize("max_shard_size", [1, 2e-5, None])
def test_a_backbone_is_written_as_kerashub_does(max_shard_size, tmp_path, images):
    model = randomized_model(TINY, PoolFormerBackbone)
    transform = ImageTransform(size=64)
    for _ in range(2):  # KerasHub replaces files
        model.save_to_preset(tmp_path, transform, max_shard_size=max_shard_size)
    files = {file.name for file in tmp_path.iterdir()}
    shards = {name for name in files if name.startswith("model_")}
    assert files - shards == {
        "config.json", "model.weights.json" if shards else "model.weights.h5"
    }  # fmt: skip
    assert bool(shards) == (max_shard_size == 2e-5)
    read = PoolFormerBackbone.from_preset(tmp_path)
    assert np.array_equal(read(images), model(images))
    assert read.transform == transform
    described = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert isinstance(keras.saving.deserialize_keras_object(described), PoolFormerBackbone)


def test_a_head_is_not_written_so(tmp_path):
    model = PoolFormerImageClassifier(TINY)
    message = error_line(model.save_to_preset, tmp_path / "x", max_shard_size=10)
    assert "PoolFormerImageClassifier" in message
    assert not (tmp_path / "x").exists()


def test_options_for_checkpoints_are_rejected():
    source = resolve(FILES / "classifier")
    for options in ({"layout": "timm"}, {"use_ema": False}, {"sha256": "0" * 64}):
        assert "KerasHub" in error_line(source.read, **options)
