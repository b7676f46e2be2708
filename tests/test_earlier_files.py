"""Files that release 0.1.0 wrote, kept as they were: each is read, and gives what it gave then.

The network is randomised: transformers' class in `checkpoint.pth.tar`, read and saved by 0.1.0.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.runtime import TFLiteClassifier
from tests.helpers import relative_error

FILES = Path(__file__).parent / "earlier_files" / "v0_1_0"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
SHA256 = "575b2629339897310880c37b2fc917ff8920a085d58ff47a0635a0fb0a90aeb2"
# Relative L2 error; measured: 1.3e-7, because 0.1.0 computed GELU with erfc.
TOLERANCE = 1e-6
# The options that the run in `run/` was started with; it was stopped after 5 of 12 steps.
SETTINGS = (
    "batch_size=8", "epochs=4", "warmup_epochs=1", "cooldown_epochs=0", "held_out=0",
    "depths=(1,1)", "widths=(8,16)", "size=32", "steps_per_call=1", "save_every=1",
    "mixup=0.8", "cutmix=1.0", "ema_decay=0.9",
)  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["classifier.keras", "preset", "checkpoint.pth.tar"])
def test_a_source_gives_the_same_logits(name, images):
    model = PoolFormerImageClassifier.from_preset(FILES / name)
    assert relative_error(model(images), EXPECTED["logits"]) <= TOLERANCE
    assert model.provenance["sha256"] == SHA256
    if name == "preset":  # which describes classes and images
        assert model.labels == ("cat", "dog", "owl")
        assert (model.transform.size, model.transform.crop_pct) == (32, 0.9)


def test_a_compiled_model_keeps_its_weights_and_what_is_frozen(images):
    model = PoolFormerImageClassifier.from_preset(FILES / "compiled.keras")
    assert relative_error(model(images), EXPECTED["compiled"]) <= TOLERANCE
    assert model.frozen_stages == 1


def test_a_backbone_reads_a_classifiers_file(images):
    backbone = PoolFormerBackbone.from_preset(FILES / "classifier.keras")
    classifier = PoolFormerImageClassifier.from_preset(FILES / "classifier.keras")
    assert np.array_equal(backbone(images), classifier.backbone(images))


def test_what_a_tuned_model_began_as(tmp_path, capsys):
    """0.1.0 wrote the starting checkpoint's hash as if it were the tuned model's own."""
    assert main(["convert", str(FILES / "tuned.keras"), "-o", str(tmp_path / "tuned.keras")]) == 0
    shown = capsys.readouterr().out
    assert "3 steps, seed 0" in shown
    assert "began as classifier.keras" in shown
    assert f"sha256 of that file: {SHA256}" in shown


@pytest.mark.parametrize("recipe", ["fp32", "dynamic_int8", "int8"])
def test_an_exported_file_gives_the_same_classes(recipe, photographs):
    photo = next(path for path in photographs if path.name == EXPECTED["photo"])
    received = TFLiteClassifier(FILES / f"{recipe}.tflite").classify(photo, top_k=3)
    for (label, score), (expected_label, expected) in zip(
        received, EXPECTED["tflite"][recipe], strict=True
    ):
        assert label == expected_label
        assert score == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.slow
def test_a_run_is_resumed(tmp_path, photographs, monkeypatch):
    """The remaining steps have the losses of the same run of 0.1.0 that was not interrupted."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FILES / "run", "run")
    for label, photo in zip(("cat", "dog", "owl"), photographs, strict=False):
        folder = Path("photos/train") / label
        folder.mkdir(parents=True)
        image = Image.open(photo).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
        for number in range(8):
            left, top = 8 * number, 4 * number
            image.crop((left, top, left + 40, top + 40)).save(folder / f"{number}.png")
    recipe = ("--recipe", "poolformer_tiny_cifar10", "--data", "photos", "--workdir", "run")
    assert main(["train", *recipe, "--set", *SETTINGS]) == 0
    # Largest relative difference measured: 0.
    assert _losses("run/log.csv") == pytest.approx(_losses(FILES / "losses.csv"), rel=1e-5)


def _losses(path):
    with Path(path).open(encoding="utf-8") as file:
        return [float(line["loss"]) for line in csv.DictReader(file)]
