"""Directories of this package as sources: of a run, of `card`, of `save_to_preset`; and others."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.sources import resolve
from keras_poolformer.sources.source_folders import RUN
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import run as training_run
from keras_poolformer.training.writing import write_model

TRANSFORM = ImageTransform(size=64, crop_pct=1.0, mean=(0.4, 0.5, 0.6))
LABELS = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def run(tiny_config, tmp_path_factory):
    """The working directory of a finished training run, as `train` leaves it."""
    assert training_run.RUN == RUN
    folder = tmp_path_factory.mktemp("run")
    provenance = {"source": "keras-poolformer train on photos", "transform": TRANSFORM.to_dict()}
    for name in ("model", "best"):
        model = PoolFormerImageClassifier(tiny_config.replace(labels=LABELS), provenance)
        model.head.bias.assign([0.0, 1.0, 2.0] if name == "model" else [2.0, 1.0, 0.0])
        write_model(folder / name, model, SimpleNamespace(use_ema=False), step=9)
    (folder / RUN).write_text('{"seed": 0}', encoding="utf-8", newline="\n")
    (folder / "log.csv").write_text("step,loss\n", encoding="utf-8", newline="\n")
    (folder / "checkpoints").mkdir()
    return folder


def test_a_run_is_its_keras_file(run, images):
    """model.safetensors beside it knows neither labels nor size."""
    model = PoolFormerImageClassifier.from_preset(run)
    expected = PoolFormerImageClassifier.from_preset(run / "model.keras")
    assert model.config == expected.config and model.config.labels == LABELS
    np.testing.assert_array_equal(model(images), expected(images))
    assert ImageTransform.from_preset(run) == TRANSFORM
    assert model.provenance["step"] == 9


def test_the_best_of_a_run_is_named_by_its_file(run, images):
    best = PoolFormerImageClassifier.from_preset(run / "best.keras")
    assert not np.array_equal(best(images), PoolFormerImageClassifier.from_preset(run)(images))
    assert ImageTransform.from_preset(run / "best.keras") == TRANSFORM


@pytest.mark.slow
def test_a_run_may_become_anything_that_a_model_may(run):
    assert PoolFormerBackbone.from_preset(run).config.labels == LABELS
    assert PoolFormerImageClassifier.from_preset(run, num_classes=5).config.num_classes == 5
    fresh = PoolFormerImageClassifier.from_preset(run, load_weights=False)
    assert fresh.config.labels == LABELS


@pytest.mark.slow
def test_a_run_in_the_commands(run, tmp_path, capsys):
    assert main(["export", str(run), "-o", str(tmp_path / "x.tflite")]) == 0
    assert main(["convert", str(run), "-o", str(tmp_path / "x.keras")]) == 0
    assert main(["convert", str(run), "--to", "hf", "-o", str(tmp_path / "hf")]) == 0
    for source in (tmp_path / "x.keras", tmp_path / "hf"):
        assert ImageTransform.from_preset(source).output_size == 64
        config = resolve(source).read(weights=False).config
        assert config.labels == LABELS
    assert main(["summary", str(run)]) == 0
    assert "64 pixels" in capsys.readouterr().out

    from keras_poolformer.runtime import TFLiteClassifier

    classifier = TFLiteClassifier(tmp_path / "x.tflite")
    assert classifier.input_shape == (64, 64, 3) and tuple(classifier.labels) == LABELS


def test_a_run_that_has_not_ended(tmp_path):
    (tmp_path / RUN).write_text("{}", encoding="utf-8", newline="\n")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"rerun the same `train` command to finish it"):
        resolve(tmp_path)


@pytest.mark.slow
def test_a_repository_of_card(run, tmp_path, images):
    repository = tmp_path / "repository"
    assert main(["card", str(run), "-o", str(repository), "--recipes", "none"]) == 0
    model = PoolFormerImageClassifier.from_preset(repository)
    np.testing.assert_array_equal(model(images), PoolFormerImageClassifier.from_preset(run)(images))
    assert ImageTransform.from_preset(repository) == TRANSFORM
    assert ImageTransform.from_preset(repository / "transformers").mean == TRANSFORM.mean
    assert resolve(repository / "transformers").config["labels"] == list(LABELS)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.pth", "b.keras"), "It holds a.pth, b.keras"),
        (("model.keras", "model.safetensors"), "It holds model.keras, model.safetensors"),
        (("epoch_9.ckpt",), "It holds epoch_9.ckpt"),
        (tuple(f"{i:02}.pth" for i in range(12)), "08.pth, 09.pth and 2 more"),
        (("notes.txt",), "without weights: looked for keras_poolformer.json, run.json, model.saf"),
        ((), "directory without weights"),
        (("saved_model.pb", "x.keras"), "is a SavedModel, which only predict and evaluate accept"),
    ],
)
def test_a_directory_of_somebody_else(names, said, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        resolve(tmp_path)
    assert said in str(caught.value)


def test_weights_of_the_usual_names_need_no_description(run, tmp_path):
    shutil.copy(run / "model.safetensors", tmp_path)
    assert PoolFormerImageClassifier.from_preset(tmp_path).config.num_classes == 3


def test_an_exported_file_is_no_source(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"")
    with pytest.raises(InputError, match="only predict, evaluate and benchmark accept"):
        resolve(tmp_path / "x.tflite")


@pytest.mark.parametrize("source", [None, 5, ["poolformer_s12"], object()])
def test_something_that_is_no_source(source):
    with pytest.raises(InputError, match=r"a source must be the name of a preset, a \.pth"):
        resolve(source)
