"""`card`: a hub repository whose README says what was measured, and whose code runs."""

import json
import re
import shutil

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.presets import ASSETS

PRESET = "poolformer_tiny_cifar10"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The tiny preset as a repository, with accuracies on the shipped images."""
    from keras_poolformer.cli import main
    from tests.cli.conftest import PHOTOS

    folder = tmp_path_factory.mktemp("card")
    for photo in PHOTOS:
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
    labels = (repository / "labels.txt").read_text().splitlines()
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


def test_without_data_there_is_no_accuracy(run, out):
    status, printed, _ = run("card", PRESET, "-o", out / "x", "--recipes", "none", "--json")
    figures = json.loads(printed)
    assert status == 0 and figures["accuracy"] == {} and figures["exports"] == []
    text = (out / "x" / "README.md").read_text()
    assert "Evaluation results" not in text and "On devices" not in text
    assert "cifar10" not in text.split("---")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipes", "int8"], "recipe int8 needs --calibration FOLDER"),
        (["--recipes", "fp32,int4"], "must be different ones of fp32, fp16, dynamic_int8, int8"),
        (["--recipes", "fp32,fp32"], "must be different ones"),
        (["--recipes", "none", "--data", "nowhere"], "nowhere"),
    ],
)
def test_refusals(options, message, run, out):
    status, printed, lines = run("card", PRESET, "-o", out / "x", *options)
    assert (status, printed) == (2, "")
    assert message in lines[-1] and not list(out.iterdir())


def test_an_existing_folder_is_kept(refusal, out):
    (out / "x").mkdir()
    assert "exists already" in refusal("card", PRESET, "-o", out / "x", "--recipes", "none")
