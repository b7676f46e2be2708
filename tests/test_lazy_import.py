"""What importing and using the package loads, and what it says if something is not installed."""

import pytest

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.shipped import ASSETS
from tests.helpers import run_python

PHOTO = ASSETS / "photos/chelsea.jpg"
HEAVY = ("keras", "tensorflow", "torch", "jax", "timm", "transformers")


@pytest.fixture
def fresh():
    """Runs code in a fresh process; returns the lines that it prints."""

    def fresh(code, *arguments):
        done = run_python("-W", "error", "-c", code, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return fresh


REPORT = f"""
print(sorted(set({HEAVY}) & set(sys.modules)))
"""


def without(*packages):
    """Code that makes packages impossible to import, as if they were not installed."""
    return f"import sys\nsys.modules.update(dict.fromkeys({packages}))\n"


@pytest.fixture(scope="module")
def files(tiny_config, tmp_path_factory):
    """A tiny classifier as .safetensors and .tflite."""
    from keras_poolformer import export_tflite, save_torch_weights

    folder = tmp_path_factory.mktemp("tiny")
    model = PoolFormerImageClassifier(tiny_config.replace(labels=("cat", "dog", "owl")))
    save_torch_weights(model, folder / "tiny.safetensors")
    export_tflite(model, folder / "tiny.tflite")
    return folder


@pytest.mark.parametrize(
    "code",
    [
        "import keras_poolformer",
        "import keras_poolformer; keras_poolformer.__version__; dir(keras_poolformer)",
        "from keras_poolformer import PoolFormerConfig; PoolFormerConfig()",
        "import keras_poolformer; assert keras_poolformer.list_presets()",
        "from keras_poolformer import ImageTransform; ImageTransform.from_preset('poolformer_s12')",
        "from keras_poolformer import load_torch_weights, save_torch_weights",
        "import keras_poolformer.cli",
    ],
)
def test_the_light_part_imports_no_framework(code, fresh):
    assert fresh(f"import sys\n{code}\n{REPORT}") == ["[]"]


@pytest.mark.slow
def test_every_public_name_can_be_had(fresh):
    code = """
import keras_poolformer
for name in keras_poolformer.__all__:
    assert name in dir(keras_poolformer) and getattr(keras_poolformer, name) is not None
from keras_poolformer import *
try:
    keras_poolformer.PoolFormer
except AttributeError as error:
    print(error)
"""
    assert "no attribute 'PoolFormer'" in fresh(code)[-1]


def test_the_runtime_classifies_without_a_framework(files, fresh):
    code = f"""
import sys
from keras_poolformer.runtime import TFLiteClassifier
top = TFLiteClassifier(sys.argv[1]).classify(sys.argv[2], top_k=2)
print(*[label for label, _ in top])
assert 0.3 < top[0][1] <= 1
{REPORT}
"""
    labels, heavy = fresh(code, files / "tiny.tflite", PHOTO)[-2:]
    assert len(set(labels.split()) & {"cat", "dog", "owl"}) == 2
    assert heavy == "[]"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_programs_own_options_import_no_subcommand(option, fresh):
    code = f"""
import contextlib, io, sys
from keras_poolformer.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main([{option!r}])
print([name for name in sys.modules if name.startswith("keras_poolformer.commands.")])
print(sorted({{"numpy", "PIL", "ai_edge_litert", *{HEAVY}}} & set(sys.modules)))
"""
    assert fresh(code) == ["[]", "[]"]


UNUSED = (
    "absl", "h5py", "http.client", "huggingface_hub", "matplotlib", "safetensors", "ssl",
    "keras_poolformer.export", "keras_poolformer.sources",
    "keras_poolformer.training", *HEAVY,
)  # fmt: skip


def test_predict_of_a_tflite_file_imports_nothing_for_presets_and_downloads(files, fresh):
    code = f"""
import contextlib, io, sys
from keras_poolformer.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["predict", *sys.argv[1:]]) == 0
print(sorted(set({UNUSED}) & set(sys.modules)))
print("numpy" in sys.modules, "keras_poolformer.runtime" in sys.modules)
"""
    assert fresh(code, files / "tiny.tflite", PHOTO) == ["[]", "True True"]


def test_the_runtime_works_where_no_framework_is_installed(files, fresh):
    code = without(*HEAVY, "safetensors", "h5py") + (
        "from keras_poolformer.cli import main\n"
        "raise SystemExit(main(['predict', sys.argv[1], sys.argv[2], '--json']))"
    )
    assert '"probability"' in "".join(fresh(code, files / "tiny.tflite", PHOTO))


MISSING = {
    "safetensors": ("safetensors", "keras", "convert {safetensors} -o {output}"),
    "ai_edge_litert": ("ai-edge-litert", "runtime", "predict {tflite} {photo}"),
    "keras": ("keras", "keras", "summary poolformer_s12"),
}


@pytest.mark.first(1)
@pytest.mark.parametrize("package", ["safetensors", "ai_edge_litert", "keras"])
def test_a_missing_extra_is_one_line(package, files, tmp_path):
    name, extra, command = MISSING[package]
    arguments = command.format(
        safetensors=files / "tiny.safetensors",
        tflite=files / "tiny.tflite",
        photo=PHOTO,
        output=tmp_path / "x.keras",
    ).split()
    code = without(package) + (
        "from keras_poolformer.cli import main\nprint('status', main(sys.argv[1:]))"
    )
    done = run_python("-c", code, *arguments)
    assert done.stdout == "status 2\n", done.stderr
    line = done.stderr.splitlines()[-1]
    assert line == (
        f"keras-poolformer {arguments[0]}: error: {name} is not installed: "
        f"`pip install 'keras-poolformer[{extra}]'` installs it"
    )
    assert all(line.startswith("[") for line in done.stderr.splitlines()[:-1])
    assert list(tmp_path.iterdir()) == []


NAMES = {
    "PoolFormerImageClassifier": ("keras", "keras"),
    "PoolFormerBackbone": ("keras", "keras"),
    "export_saved_model": ("tensorflow", "tensorflow"),
    "export_tflite": ("tensorflow", "tensorflow"),
    "model_stats": ("keras", "keras"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_whose_extra_is_missing(name, fresh):
    package, extra = NAMES[name]
    code = without(package) + (
        "import os\n"
        "os.environ['KERAS_BACKEND'] = 'torch'\n"
        "from keras_poolformer.support.errors import MissingExtraError\n"
        "try:\n"
        f"    from keras_poolformer import {name}\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    (line,) = fresh(code)
    assert line.endswith(f"`pip install 'keras-poolformer[{extra}]'` installs it")


def test_kerashub_is_missing():
    """No extra installs it: its requirements would bring a second TensorFlow."""
    done = run_python("-c", without("keras_hub") + "import keras_poolformer.hub")
    line = done.stderr.splitlines()[-1]
    assert "pip install --no-deps keras-hub" in line
    assert "keras-poolformer[hub]" in line


def test_weights_of_safetensors_without_safetensors(files, fresh):
    """Reading and writing alike; a .pth needs nothing."""
    code = without("safetensors") + (
        "from keras_poolformer.checkpoints.checkpoint import read_checkpoint\n"
        "from keras_poolformer.checkpoints.saving import save_torch_weights\n"
        "from keras_poolformer.support.errors import MissingExtraError\n"
        "for call in (lambda: read_checkpoint(sys.argv[1]),\n"
        "             lambda: save_torch_weights(None, 'x.safetensors')):\n"
        "    try:\n"
        "        call()\n"
        "    except MissingExtraError as error:\n"
        "        print(error)\n"
    )
    lines = fresh(code, files / "tiny.safetensors")
    assert len(lines) == 2 and all("keras-poolformer[keras]" in line for line in lines)


@pytest.mark.slow
def test_a_module_that_imports_keras_can_be_the_first(fresh):
    code = "from keras_poolformer.models.loading import build\nimport keras\n"
    code += "print(build.__name__, keras.__name__)"
    assert fresh(code) == ["build keras"]
