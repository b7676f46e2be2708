"""What a run leaves: models that Keras and PyTorch open, figures, a picture."""

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from conversion.oracles import build_oracle
from keras_poolformer import ImageTransform, PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.cli import main
from keras_poolformer.provenance import Provenance
from keras_poolformer.training import building
from tests.helpers import PRESET
from tests.training import runs

SETTINGS = runs.LEARNING


@pytest.fixture(scope="module")
def model(trained):
    return PoolFormerImageClassifier.from_preset(str(trained / "model.keras"))


def test_it_has_learnt(trained):
    losses = runs.losses(trained)
    assert losses[-6:].mean() < 0.8 * losses[:6].mean()


def test_the_model_knows_its_data(model, trained, photo_folders):
    assert model.config.labels == ("photo_0", "photo_1", "photo_2")
    assert model.provenance["source"].endswith(f"train on {photo_folders}/train")
    assert (model.provenance["step"], model.provenance["seed"]) == (24, 0)
    assert model.provenance["trained"] is True
    assert not model.provenance.keys() & {"init", "base_model", "sha256", "layout", "tensors"}


def test_the_checksum_of_the_starting_model_is_not_the_results():
    before = {"source": "poolformer_s12_in1k", "sha256": "0" * 64, "layout": "sail"}
    model = SimpleNamespace(provenance=Provenance.of(before))
    run = SimpleNamespace(
        init="poolformer_s12",
        training=SimpleNamespace(name="photos"),
        seed=3,
        recipe=SimpleNamespace(transform=ImageTransform(size=64)),
    )
    provenance = building.trained_provenance(run, model)
    assert provenance == {
        "source": "keras-poolformer train on photos",
        "seed": 3,
        "transform": ImageTransform(size=64).to_dict(),
        "base_model": "poolformer_s12_in1k",
        "init": before,
        "trained": True,
    }
    run.init = "runs/first/model.keras"
    again = building.trained_provenance(run, SimpleNamespace(provenance=provenance))
    assert again["base_model"] == "model.keras"
    assert again["init"]["base_model"] == "poolformer_s12_in1k"


@pytest.mark.slow
def test_a_folder_in_the_models_place_is_refused_before_training(photo_folders, tmp_path, capsys):
    (tmp_path / "run" / "model.keras").mkdir(parents=True)
    (tmp_path / "run" / "model.keras" / "thesis.tex").touch()
    assert main(runs.arguments(photo_folders, tmp_path / "run")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "model.keras cannot be overwritten: only a regular file is replaced" in error
    assert [path.name for path in (tmp_path / "run").rglob("*.tex")] == ["thesis.tex"]


def test_evaluate_says_what_training_said(trained, photo_folders, capsys):
    result = json.loads((trained / "result.json").read_text(encoding="utf-8"))
    arguments = ["evaluate", f"{trained}/model.keras", "--data", f"{photo_folders}/test", "--json"]
    assert main(arguments) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["top1"] == pytest.approx(result["top1"])
    with (trained / "evaluations.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["top1"]) == pytest.approx(result["top1"])
    assert result["best_top1"] >= result["top1"]


def test_pytorch_gives_the_same_logits(trained, model, photo_batch, tmp_path):
    """transformers' class, which has sail-sg's head, from the safetensors by way of its names."""
    oracle = build_oracle(model.config, "sail")
    oracle.load(runs.weights(trained))
    images = photo_batch[0][:, :32, :32]
    with torch.no_grad():
        theirs = oracle.module.eval()(torch.tensor(images).permute(0, 3, 1, 2)).logits.numpy()
    np.testing.assert_allclose(model(images), theirs, atol=1e-5)
    again = PoolFormerImageClassifier(model.config)
    load_torch_weights(again, trained / "model.safetensors")
    for one, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_curve_is_a_picture(trained):
    with Image.open(trained / "curve.png") as image:
        assert image.size == (1350, 525)
        assert len(np.unique(np.asarray(image))) > 50


def test_scalars_for_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"), {"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "train/accuracy", "train/learning_rate", "evaluation/top1"} <= tags


def test_the_report(trained_and_report):
    report = json.loads(trained_and_report[1])
    assert (report["step"], report["finished"]) == (24, True)


def test_another_run_in_the_folder(trained, photo_folders, tmp_path, capsys):
    def refusal(*settings):
        arguments = runs.arguments(photo_folders, tmp_path / "run", [*SETTINGS, *settings])
        assert main(arguments) == 2
        return capsys.readouterr().err.splitlines()[-1]

    shutil.copytree(trained, tmp_path / "run")
    message = refusal("learning_rate=1e-4")
    assert message.startswith("keras-poolformer train: error: ")
    assert "holds a run with learning_rate=0.005" in message
    assert message.endswith("Received: 0.0001")
    (tmp_path / "run" / "run.json").write_text("{", encoding="utf-8", newline="\n")
    assert "run.json is not valid JSON" in refusal()


@pytest.mark.slow
def test_lamb_at_a_constant_rate_says_so(photo_folders, tmp_path, capsys):
    settings = ["optimizer=lamb", "schedule=constant", "warmup_epochs=0.5"]
    options = ["--max-steps", "6", "--skip-validation"]
    assert main(runs.arguments(photo_folders, tmp_path, settings, options)) == 0
    assert "LAMB, constant learning rate 0.002, weight decay 0.05" in capsys.readouterr().err
    description = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    fields = ("optimizer", "schedule", "epsilon", "clip_norm")
    assert [description[name] for name in fields] == ["lamb", "constant", 1e-6, 1]
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates[3:] == [pytest.approx(0.002)] * 3
    assert rates[0] < rates[1] < rates[2] < rates[3]


@pytest.mark.slow
def test_fine_tuning_of_the_head_alone(photo_folders, tmp_path):
    start = PoolFormerImageClassifier.from_preset(PRESET)
    arguments = [
        "train", "--recipe", "finetune", "--init", PRESET, "--data", str(photo_folders),
        "--workdir", str(tmp_path), "--set", "frozen=backbone", "batch_size=8", "epochs=6",
        "size=64", "learning_rate=0.01", "warmup_epochs=0",
    ]  # fmt: skip
    assert main(arguments) == 0
    tuned = PoolFormerImageClassifier.from_preset(str(tmp_path / "model.keras"))
    assert tuned.config.num_classes == 3
    for one, other in zip(tuned.backbone.weights, start.backbone.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["top1"] > 90


@pytest.mark.slow
def test_records_are_trained_like_their_folder(photo_folders, tmp_path):
    """The same loss at the end of evaluation, to which order and noise of training do not add."""
    assert main(["prepare", str(photo_folders), "-o", f"{tmp_path}/records"]) == 0
    settings = ["learning_rate=0", "warmup_learning_rate=0", "min_learning_rate=0", "epochs=1"]
    results = []
    for name, data in (("folders", photo_folders), ("records", tmp_path / "records")):
        assert main(runs.arguments(data, tmp_path / name, settings)) == 0
        results.append(json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8")))
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-6)


@pytest.mark.slow
def test_a_finished_run_in_another_folder(photo_folders, tmp_path):
    """A new machine has the checkpoints, in a bucket, and an empty folder."""
    options = ["--checkpoints", str(tmp_path / "bucket")]
    for name in ("old", "new"):
        arguments = runs.arguments(photo_folders, tmp_path / name, ["epochs=1"], options)
        assert main(arguments) == 0
    old, new = (runs.weights(tmp_path / name) for name in ("old", "new"))
    for name, array in old.items():
        np.testing.assert_array_equal(array, new[name], name)
