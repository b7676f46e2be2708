"""docs/classify.c, built as docs/board.md says, gives what Python gives."""

import shlex
import shutil
import subprocess
from pathlib import Path

import ai_edge_litert
import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_tflite,
)
from keras_poolformer.runtime import TFLiteClassifier
from tests.helpers import ROOT

LITERT = Path(ai_edge_litert.__file__).parent
CONFIG = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=4, initializer_range=0.5)
TRANSFORM = ImageTransform(size=32, crop_pct=1.0)

if shutil.which("cc") is None:
    pytest.skip("needs a C compiler", allow_module_level=True)


@pytest.fixture(scope="module")
def model():
    return PoolFormerImageClassifier(CONFIG, provenance={"transform": TRANSFORM.to_dict()})


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program, by the command of docs/board.md, with warnings as errors."""
    lines = (ROOT / "docs" / "board.md").read_text(encoding="utf-8").splitlines()
    (command,) = (line.strip() for line in lines if line.startswith("    cc "))
    program = tmp_path_factory.mktemp("classify") / "classify"
    words = shlex.split(command.replace("$LITERT", str(LITERT)))
    words[words.index("classify")] = str(program)
    subprocess.run([*words, "-Wall", "-Wextra", "-Werror"], cwd=ROOT, check=True)
    return program


def run(program, model, frames=b""):
    return subprocess.run(
        [program, model], input=frames, capture_output=True, check=False, timeout=60
    )


@pytest.mark.first(1)
@pytest.mark.parametrize("recipe", ["fp32", "dynamic_int8", "int8"])
def test_frames_get_the_class_and_probability_that_python_gives(
    program, model, photographs, tmp_path, recipe
):
    path = tmp_path / "m.tflite"
    frames = TRANSFORM.pixels(photographs)
    export_tflite(
        model, path, recipe=recipe, inputs="pixels", outputs="probabilities", calibration=frames
    )
    expected = TFLiteClassifier(path).predict(frames)
    done = run(program, path, frames.tobytes())
    assert done.returncode == 0, done.stderr
    classes, probabilities = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert list(map(int, classes)) == expected.argmax(1).tolist()
    assert len(set(classes)) > 1  # or any constant would pass
    np.testing.assert_allclose(np.float32(probabilities), expected.max(1), atol=1e-6)


def test_other_files_are_one_line(program, model, tmp_path):
    (tmp_path / "no.tflite").write_bytes(b"not a model")
    export_tflite(model, tmp_path / "floats.tflite")
    for name, message in [
        ("no.tflite", b"classify: cannot read the model"),
        ("floats.tflite", b"classify: export with --inputs pixels --outputs probabilities"),
    ]:
        done = run(program, tmp_path / name)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.splitlines()[-1].startswith(message)


def test_it_is_also_cpp():
    compiler = shutil.which("c++") or pytest.skip("needs a C++ compiler")
    source = ROOT / "docs" / "classify.c"
    subprocess.run([compiler, "-x", "c++", "-fsyntax-only", "-Wall", "-Werror", source], check=True)
