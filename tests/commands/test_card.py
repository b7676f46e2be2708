"""`card`: a hub repository whose README says what was measured, and whose code runs."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.runtime.description import read_description
from keras_poolformer.shipped import ASSETS
from tests.helpers import CIFAR10_PHOTOS, PRESET


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The tiny preset as a repository, with accuracies on the shipped images."""
    from keras_poolformer.cli import main

    folder = tmp_path_factory.mktemp("card")
    for photo in CIFAR10_PHOTOS:
        label = folder / "data" / photo.stem.rpartition("_")[2]
        label.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, label)
    arguments = ["card", PRESET, "-o", f"{folder}/out", "--dataset", "cifar10"]
    assert main([*arguments, "--data", f"{folder}/data", "--repository", "me/tiny"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def text(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def test_files(repository):
    names = {path.name for path in repository.iterdir()}
    exports = {f"{PRESET}_fp32.tflite", f"{PRESET}_dynamic_int8.tflite"}
    preset = {"model.keras", "keras_poolformer.json"}
    assert names == {"README.md", "labels.txt", "transformers", *preset, *exports}
    labels = (repository / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == list(PoolFormerImageClassifier.from_preset(PRESET).config.labels)


def test_metadata_is_what_the_hub_reads(text):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    card = huggingface_hub.ModelCard(text)
    data = card.data.to_dict()
    assert (data["license"], data["library_name"]) == ("apache-2.0", "keras")
    assert data["pipeline_tag"] == "image-classification"
    assert data["datasets"] == ["cifar10"]
    (result,) = card.data.eval_results
    assert (result.metric_type, result.dataset_name) == ("accuracy", "data")
    assert result.metric_value == pytest.approx(1, abs=0.2)


def test_figures_are_the_models(text):
    model = PoolFormerImageClassifier.from_preset(PRESET)
    assert f"- Parameters: {model.count_params() / 1e6:.1f} M" in text
    assert "- Image size: 64 x 64" in text
    assert "P2: (1, 16, 16, 40)" in text and "P5: (1, 2, 2, 224)" in text
    assert model.provenance["sha256"] in text
    assert "| model.keras | " in text and f"| {PRESET}_fp32.tflite | " in text


@pytest.mark.slow
def test_its_code_runs(repository, text, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    shutil.copy(ASSETS / "photos" / "chelsea.jpg", repository / "photo.jpg")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block.replace('"hf://me/tiny"', '"model.keras"'), names)
    (repository / "photo.jpg").unlink()
    assert names["embeddings"].shape == (1, 224)
    assert names["label"] in names["model"].labels and 0 < names["probability"] < 1
    assert "P5 (1, 2, 2, 224)" in capsys.readouterr().out


def test_transformers_reads_its_folder(repository):
    torch = pytest.importorskip("torch")
    from conversion import oracles  # declares what transformers needs

    assert oracles
    from transformers import PoolFormerForImageClassification

    theirs = PoolFormerForImageClassification.from_pretrained(str(repository / "transformers"))
    model = PoolFormerImageClassifier.from_preset(PRESET)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        logits = theirs.float().eval()(torch.tensor(images).permute(0, 3, 1, 2)).logits.numpy()
    np.testing.assert_allclose(model(images), logits, atol=1e-5)


def test_from_preset_reads_the_folder(repository):
    model = PoolFormerImageClassifier.from_preset(str(repository))
    assert model.config == PoolFormerImageClassifier.from_preset(PRESET).config
    transform = ImageTransform.from_preset(str(repository))
    assert transform == ImageTransform.from_preset(PRESET)


@pytest.mark.slow
def test_without_data_there_is_no_accuracy(run, out):
    status, printed, _ = run("card", PRESET, "-o", out / "x", "--recipes", "none", "--json")
    figures = json.loads(printed)
    assert status == 0 and figures["accuracy"] == {} and figures["exports"] == []
    text = (out / "x" / "README.md").read_text(encoding="utf-8")
    assert "Evaluation results" not in text and "On devices" not in text
    assert "cifar10" not in text.split("---")[1]


@pytest.mark.slow
def test_mediapipe_opens_its_files(repository, mediapipe_tasks):
    files = sorted(map(str, repository.glob("*.tflite")))
    photos = sorted((ASSETS / "photos").glob("cifar10_test_*_*.png"))
    results = mediapipe_tasks("classify", files, photos)
    assert len(results) == 2
    for classified in results.values():
        best = [max(scores, key=scores.get) for scores in classified]
        truth = [photo.stem.rpartition("_")[2] for photo in photos]
        assert sum(map(str.__eq__, best, truth)) / len(truth) >= 0.8
        assert all(sum(scores.values()) == pytest.approx(1, abs=0.05) for scores in classified)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "../../x"], "`name` must be the name of a file"),
        (["--name", ".."], "`name` must be the name of a file"),
        (["--name", "a\x1bb"], "Received: 'a\\x1bb'"),
        (["--name", "x" * 300], "`name` must be the name of a file"),
        (["--repository", '"); import os #'], "`repository` must be OWNER/NAME"),
        (["--recipes", "int8"], "recipe int8 needs `calibration`, a folder"),
        (
            ["--recipes", "fp32,int4"],
            "must be different names out of fp32, fp16, dynamic_int8, dynamic_int4",
        ),
        (["--recipes", "fp32,fp32"], "must be different names"),
        (["--recipes", "none", "--data", "nowhere"], "nowhere"),
    ],
)
def test_refusals(options, message, run, out):
    status, printed, lines = run("card", PRESET, "-o", out / "x", *options)
    assert (status, printed) == (2, "")
    assert message in lines[-1] and not list(out.iterdir())


@pytest.mark.slow
def test_an_existing_folder_is_kept(refusal, run, out):
    (out / "x").mkdir()
    arguments = ("card", PRESET, "-o", out / "x", "--recipes", "none")
    assert "exists already" in refusal(*arguments)
    assert run(*arguments, "--overwrite")[0] == 0  # an empty one
    (out / "x" / "notes.txt").write_text("mine", encoding="utf-8", newline="\n")
    assert "'notes.txt' in it" in refusal(*arguments, "--overwrite")
    (out / "x" / "notes.txt").unlink()
    assert run(*arguments, "--overwrite", "--name", 'a "quoted" <b>')[0] == 0
    text = (out / "x" / "README.md").read_text(encoding="utf-8")
    assert '# a "quoted" \\<b\\>' in text


@pytest.mark.slow
def test_weights_know_their_origin_all_the_way(run, out, repository):
    """preset -> fit -> save -> card -> export -> convert."""
    model = PoolFormerImageClassifier.from_preset(PRESET)
    sha256 = model.provenance["sha256"]
    model.compile("sgd", model.default_loss())
    model.fit(np.zeros((2, 64, 64, 3), np.float32), np.array([0, 1]), verbose=0)
    model.save_to_preset(out / "mine")
    assert run("card", out / "mine", "-o", out / "card", "--recipes", "fp32")[0] == 0
    text = (out / "card" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == PRESET and "datasets" not in header
    assert f"- SHA-256 of the starting model's file: {sha256}" in text
    assert "- SHA-256 of their file" not in text  # the file holds other weights by now
    assert f"Trained with Keras, beginning from {PRESET}." in text
    assert json.dumps(model.transform.to_dict()) in text

    for source in (out / "card", out / "card" / "model.keras"):
        assert run("export", source, "-o", out / "x.tflite", "--overwrite")[0] == 0
        provenance = read_description(out / "x.tflite").provenance
        assert (provenance["base_model"], provenance["trained"]) == (PRESET, True)
        assert provenance["init"]["sha256"] == sha256 and "sha256" not in provenance
        assert provenance["transform"] == model.transform.to_dict()
    printed = run("convert", out / "card", "-o", out / "again.keras")[1]
    assert printed.splitlines() == [
        "trained with Keras",
        f"began as {PRESET}",
        f"sha256 of that file: {sha256}",
    ]
    assert "base_model" not in (repository / "README.md").read_text(
        encoding="utf-8"
    )  # nothing was trained
