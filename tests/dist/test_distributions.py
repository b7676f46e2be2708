"""The wheel and the sdist: what is in them, and that they work in fresh environments."""

import configparser
import csv
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from email import message_from_string

import pytest
from packaging.metadata import Metadata

from keras_poolformer.shipped import ASSETS
from keras_poolformer.scores import softmax
from keras_poolformer.support.version import __version__
from tests.helpers import PRESET, ROOT

pytestmark = pytest.mark.dist

RUNTIME = "keras-poolformer[runtime]"
FULL = "keras-poolformer[keras,tensorflow-cpu,runtime]"
NAME = f"keras_poolformer-{__version__}"
PYTORCH = json.loads((ASSETS / PRESET / "torch_logits.json").read_text(encoding="utf-8"))
CIFAR10 = list(PYTORCH)[:3]
PHOTOS = [*CIFAR10, "chelsea.jpg"]


# ---------------------------------------------------------------------------------------
# What is in them


@pytest.fixture(scope="session")
def sources():
    """The files of the repository, as git knows them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel, sources):
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt"}
    about |= {"licenses/LICENSE", "licenses/NOTICE"}
    package = {name for name in sources if name.startswith("keras_poolformer/")}
    expected = package | {f"{NAME}.dist-info/{name}" for name in about}
    assert set(zipfile.ZipFile(wheel).namelist()) == expected
    assert {f"keras_poolformer/{name}" for name in ("py.typed", "cli.py")} < expected


def test_the_sdist_holds_the_repository(sdist, sources):
    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in files if name.startswith("keras_poolformer.egg-info/")}
    assert files - made - {"PKG-INFO"} == sources


@pytest.fixture(scope="session")
def metadata_text(wheel):
    return zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/METADATA").decode()


def test_metadata_is_valid(metadata_text):
    """By the standard's own rules, as the index checks an upload."""
    metadata = Metadata.from_email(metadata_text, validate=True)
    assert (metadata.name, str(metadata.version)) == ("keras-poolformer", __version__)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text(encoding="utf-8")


def test_wheel_and_sdist_have_the_same_metadata(metadata_text, sdist):
    with tarfile.open(sdist) as archive:
        file = archive.extractfile(f"{NAME}/PKG-INFO")
        assert file is not None
        text = file.read().decode()
    assert message_from_string(text).items() == message_from_string(metadata_text).items()


# ---------------------------------------------------------------------------------------
# The sdist with everything


@pytest.fixture(scope="session")
def full(installed, sdist):
    environment = installed(FULL, sdist)
    for name in PHOTOS:
        shutil.copy(ASSETS / "photos" / name, environment.folder)
    return environment


@pytest.fixture(scope="session")
def keras_answers(full):
    """{photo: {label: probability}} of the Keras model."""
    return _answers(full, PRESET)


def _answers(environment, source):
    printed = environment.poolformer("predict", source, *PHOTOS, "--top-k", 10, "--json")
    return {
        photo: {row["label"]: row["probability"] for row in rows}
        for photo, rows in json.loads(printed).items()
    }


def test_keras_answers_as_pytorch_did(keras_answers):
    """The logits that PyTorch gave are in the package: 1.3e-6 measured."""
    labels = keras_answers["chelsea.jpg"].keys()
    assert len(labels) == 10
    for photo in CIFAR10:
        expected = sorted(softmax(PYTORCH[photo]))
        assert sorted(keras_answers[photo].values()) == pytest.approx(expected, abs=1e-5)
        likeliest = max(keras_answers[photo], key=keras_answers[photo].get)
        assert photo.endswith(f"_{likeliest}.png")


@pytest.fixture(scope="session")
def tflite(full):
    full.poolformer("export", PRESET, "-o", "tiny.tflite")
    return full.folder / "tiny.tflite"


# ---------------------------------------------------------------------------------------
# The wheel with the runtime alone


@pytest.fixture(scope="session")
def runtime(installed, wheel, full, tflite):
    """As on a small board: a .tflite file and photographs arrive from elsewhere."""
    environment = installed(RUNTIME, wheel)
    for name in (*PHOTOS, tflite.name):
        shutil.copy(full.folder / name, environment.folder)
    return environment


def test_readme_says_how_to_install_it():
    assert f"pip install '{RUNTIME}'" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_is_installed_is_what_was_built(full, runtime, wheel):
    """RECORD lists every file with its sha256, for the sdist's files too."""
    expected = _package(zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/RECORD").decode())
    assert len(expected) > 100
    for environment in (full, runtime):
        (record,) = (environment.folder / "venv").rglob(f"{NAME}.dist-info/RECORD")
        assert _package(record.read_text(encoding="utf-8")) == expected


def _package(record):
    rows = csv.reader(io.StringIO(record))
    return {name: sha256 for name, sha256, _ in rows if name.startswith("keras_poolformer/")}


def test_neither_keras_nor_tensorflow_is_there(runtime):
    for package in ("keras", "tensorflow"):
        done = runtime.run("python", "-c", f"import {package}")
        assert f"No module named '{package}'" in done.stderr


def test_tflite_answers_as_keras_does(runtime, full, keras_answers):
    """Measured: 1e-6; and alike in both environments, to the bit."""
    answers = _answers(runtime, "tiny.tflite")
    assert answers == _answers(full, "tiny.tflite")
    for photo, expected in keras_answers.items():
        assert list(answers[photo])[:3] == list(expected)[:3]
        assert answers[photo] == pytest.approx(expected, abs=1e-5)


def test_the_readable_answer(runtime, keras_answers):
    first, likeliest, *_ = runtime.poolformer("predict", "tiny.tflite", "chelsea.jpg").splitlines()
    label, probability = next(iter(keras_answers["chelsea.jpg"].items()))
    assert (first, likeliest.split()) == ("chelsea.jpg", [f"{probability:.1%}", label])


def test_what_else_needs_no_keras(runtime):
    assert runtime.poolformer("--version") == f"{__version__}\n"
    assert PRESET in runtime.poolformer("presets")
    assert "predict" in runtime.poolformer("--help")
    (runtime.folder / "data" / "cat").mkdir(parents=True)
    shutil.copy(runtime.folder / CIFAR10[0], runtime.folder / "data" / "cat")
    assert runtime.poolformer("evaluate", "tiny.tflite", "--data", "data").startswith(
        "1 images: top-1 100.00 %"
    )
    measured = runtime.poolformer("benchmark", "tiny.tflite", "--runs", 2, "--json")
    assert json.loads(measured)["files"][0]["partitions"] == 1


KERAS = "keras,tensorflow"
NEEDS = {
    f"predict {PRESET} chelsea.jpg": KERAS,
    f"summary {PRESET}": KERAS,
    f"convert {PRESET} -o x.keras": KERAS,
    f"export {PRESET} -o x.tflite": KERAS,
    f"explain {PRESET} chelsea.jpg -o x.png": KERAS,
    f"evaluate {PRESET} --data data": KERAS,
    f"card {PRESET} -o x": KERAS,
    "prepare data -o x": KERAS,
    "train --recipe finetune --data data --workdir x": f"{KERAS},train",
}


@pytest.mark.parametrize("command", NEEDS)
def test_what_needs_more_says_so_in_one_line(command, runtime):
    done = runtime.run("keras-poolformer", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if not re.match(r"\[\d/\d\] ", line)]
    assert line.startswith(f"keras-poolformer {command.split()[0]}: error: ")
    assert line.endswith(f"`pip install 'keras-poolformer[{NEEDS[command]}]'` installs it")
    assert not list(runtime.folder.glob("x*"))


def test_extras_that_messages_name_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = {extra for extras in NEEDS.values() for extra in extras.split(",")}
    assert named <= set(setup["options.extras_require"])
