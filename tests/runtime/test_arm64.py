"""The installed runtime on 64-bit ARM, emulated by qemu, compared with this machine.

`make test-arm64` makes build/arm64 and runs it; it is no part of continuous integration.
"""

import json
import os
import re
import shutil
import subprocess

import pytest

from keras_poolformer import PoolFormerImageClassifier, export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from tests.helpers import ROOT

ARM = ROOT / "build" / "arm64"
PREDICT = "import sys; from keras_poolformer.cli import main; sys.exit(main(sys.argv[1:]))"
# Largest difference of a probability allowed; measured 6e-7, 6e-7, 0.0055 and 0.
RECIPES = {"fp32": 2e-6, "fp16": 2e-6, "dynamic_int8": 0.01, "int8": 1e-6}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def qemu():
    """The emulator, if it can run LiteRT: qemu 7.2 crashes when an interpreter is made."""
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if qemu is None:
        pytest.skip("needs qemu-aarch64")
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
    major = re.search(r"version (\d+)", version.stdout)
    if major is None or int(major[1]) < 8:
        pytest.skip(f"needs a newer qemu than {version.stdout.splitlines()[0]}")
    if not (ARM / "site").is_dir():
        pytest.skip("needs build/arm64: make test-arm64")
    return qemu


@pytest.fixture(scope="module")
def model():
    return PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")


@pytest.mark.parametrize("recipe", RECIPES)
def test_predict_gives_the_same_there(qemu, model, tmp_path, recipe):
    path = tmp_path / "tiny.tflite"
    photos = sorted((ROOT / "keras_poolformer" / "assets" / "photos").iterdir())
    export_tflite(model, path, recipe=recipe, calibration=photos if recipe == "int8" else None)
    there = _predict(qemu, path, photos)
    classifier = TFLiteClassifier(path)
    here = {str(photo): dict(classifier.classify(photo, 10)) for photo in photos}
    differences = [
        abs(here[photo][label] - there[photo][label]) for photo in here for label in here[photo]
    ]
    same = sum(_likeliest(here[one]) == _likeliest(there[one]) for one in here)
    print(f"{recipe}: {max(differences):.1e}, {same} of {len(photos)} photographs alike")
    assert len(differences) == 10 * len(photos)
    assert max(differences) <= RECIPES[recipe]


def _likeliest(probabilities):
    return max(probabilities, key=probabilities.__getitem__)


def _predict(qemu, path, photos):
    """{photograph: {label: probability}} by the command line on the other processor."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ARM / "site"), str(ROOT)])}
    python = [qemu, "-L", ARM, ARM / "usr" / "bin" / "python3.11"]
    done = subprocess.run(
        [*python, "-c", PREDICT, "predict", path, *photos, "--top-k", "10", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        photo: {one["label"]: one["probability"] for one in classes}
        for photo, classes in json.loads(done.stdout).items()
    }
