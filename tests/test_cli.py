"""The command line: what it prints, what it refuses, and what it never leaves behind."""

import errno
import hashlib
import json
import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save as safetensors_bytes

import keras_poolformer
from keras_poolformer import ImageTransform, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.presets import ASSETS, CIFAR10_LABELS

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
TINY = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3)
PHOTOS = sorted((ASSETS / "photos").glob("*.jpg"))
PROGRESS = re.compile(r"\[\d/\d\] ")
COMMANDS = ("presets", "summary", "convert", "predict", "export")


def random_weights(seed):
    """{sail-sg's name: tensor} of transformers' class, every parameter randomised."""
    from conversion.oracles import build_oracle, sail_name

    module = build_oracle(TINY, "hf").module
    generator = torch.Generator().manual_seed(seed)
    return {
        sail_name(name): 0.3 + 0.2 * torch.randn(value.shape, generator=generator)
        for name, value in module.state_dict().items()
    }


@pytest.fixture(scope="module")
def state():
    return random_weights(seed=0)


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    """One network as .pth, .safetensors, .keras and .tflite."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.save({"state_dict": state}, folder / "tiny.pth.tar")
    (folder / "tiny.safetensors").write_bytes(safetensors_bytes(state, {"format": "pt"}))
    assert main(["convert", f"{folder}/tiny.pth.tar", "-o", f"{folder}/tiny.keras"]) == 0
    assert main(["export", f"{folder}/tiny.keras", "-o", f"{folder}/tiny.tflite"]) == 0
    return folder


@pytest.fixture
def out(tmp_path):
    """An empty folder for what a command writes."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def run(capfd):
    """Runs the command line in this process; returns (status, stdout, lines of stderr)."""

    def run(*arguments):
        capfd.readouterr()
        try:
            status = main([str(one) for one in arguments])
        except SystemExit as stop:  # how argparse ends
            status = stop.code
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if not PROGRESS.match(line)]
        return status, captured.out, lines

    return run


@pytest.fixture
def refusal(run, out):
    """Runs a command that must be refused, leaving `out` as it was; returns the message."""

    def refusal(*arguments):
        before = sorted(out.rglob("*"))
        status, printed, lines = run(*arguments)
        assert (status, printed) == (2, ""), lines
        (line,) = lines
        program, _, message = line.partition(": error: ")
        assert program == f"keras-poolformer {arguments[0]}"
        assert sorted(out.rglob("*")) == before
        return message

    return refusal


@pytest.fixture
def convert_refusal(refusal, out):
    """The message with which `convert SOURCE` is refused."""

    def convert_refusal(source, *options):
        return refusal("convert", source, "-o", out / "x.keras", *options)

    return convert_refusal


def config_of(path):
    return PoolFormerImageClassifier.from_preset(path).config


# ---------------------------------------------------------------------------------------
# Files that would run code


class Reduces:
    """Pickled as a call that unpickling makes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(kind, marker, state):
    """Something whose unpickling makes the file `marker`."""
    if kind == "os.system":
        return Reduces(os.system, f"touch {marker}")
    if kind == "builtins.eval":
        return Reduces(eval, f"open({str(marker)!r}, 'w').close()")
    inside = {"blocks": [{"0": Reduces(os.mkdir, str(marker))}]}
    return {"state_dict": state | {"network.0.0.norm1.weight": inside}}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", ["os.system", "builtins.eval", "nested"])
def test_a_checkpoint_never_runs_code(kind, zipped, state, tmp_path, convert_refusal):
    marker = tmp_path / "marker"
    payload = hostile(kind, marker, state)
    pickle.loads(pickle.dumps(payload))  # this one does what it says
    assert marker.exists()
    shutil.rmtree(marker) if marker.is_dir() else marker.unlink()

    torch.save(payload, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    message = convert_refusal(tmp_path / "x.pth")
    name = {"os.system": "posix.system", "builtins.eval": "builtin", "nested": "posix.mkdir"}[kind]
    assert name in message and "nothing of it was run" in message
    assert not marker.exists()


def test_a_plain_pickle_never_runs_code(tmp_path, convert_refusal):
    marker = tmp_path / "marker"
    payload = pickle.dumps(Reduces(os.system, f"touch {marker}"))
    (tmp_path / "x.pth.tar").write_bytes(payload)
    assert "posix.system" in convert_refusal(tmp_path / "x.pth.tar")
    assert not marker.exists()


def test_a_checkpoint_never_imports_a_module(state, tmp_path, convert_refusal, monkeypatch):
    marker = tmp_path / "marker"
    module = types.ModuleType("hostile_module")
    module.Thing = type("Thing", (), {"__module__": "hostile_module"})
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "hostile_module", module)
        torch.save({"state_dict": state, "args": module.Thing()}, tmp_path / "x.pth")
    (tmp_path / "hostile_module.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)

    assert "hostile_module.Thing" in convert_refusal(tmp_path / "x.pth")
    assert "hostile_module" not in sys.modules and not marker.exists()


# ---------------------------------------------------------------------------------------
# Damaged files


def flipped(data, position, bit=1):
    return data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.safetensors"])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.6, 0.999])
def test_a_truncated_checkpoint(name, fraction, files, tmp_path, convert_refusal):
    data = (files / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * fraction)])
    assert re.search("damaged|begins with|empty", convert_refusal(tmp_path / name))


@pytest.mark.parametrize("place", ["weight", "pickle", "local header", "directory", "end"])
def test_a_flipped_bit_in_a_zip(place, files, state, tmp_path, convert_refusal):
    data = (files / "tiny.pth.tar").read_bytes()
    position = {
        "weight": data.index(state["network.2.0.mlp.fc1.weight"].numpy().tobytes()) + 30,
        "pickle": data.index(b"layer_scale_2"),
        "local header": data.index(b"data.pkl"),
        "directory": data.rindex(b"data.pkl"),
        "end": data.rindex(b"PK\x05\x06"),
    }[place]
    (tmp_path / "x.pth").write_bytes(flipped(data, position))
    assert re.search("damaged|without data.pkl", convert_refusal(tmp_path / "x.pth"))


@pytest.mark.parametrize("place", ["length", "brace", "dtype", "shape", "offsets", "name"])
def test_a_flipped_bit_in_a_safetensors_header(place, files, tmp_path, convert_refusal):
    data = (files / "tiny.safetensors").read_bytes()
    position = {
        "length": 0,
        "brace": 8,
        "dtype": data.index(b'"F32"') + 1,
        "shape": data.index(b'"shape":[') + 9,
        "offsets": data.index(b'"data_offsets":[') + 17,
        "name": data.index(b"network.0.0.mlp.fc1.bias"),
    }[place]
    (tmp_path / "x.safetensors").write_bytes(flipped(data, position))
    convert_refusal(tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
def test_a_truncated_image(name, files, tmp_path, refusal):
    Image.open(PHOTOS[0]).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    message = refusal("predict", files / "tiny.keras", PHOTOS[1], tmp_path / name)
    assert name in message and "cannot be read as an image" in message


@pytest.mark.parametrize("place", ["signature", "header", "pixels"])
def test_a_flipped_bit_in_an_image(place, files, tmp_path, refusal):
    Image.open(PHOTOS[0]).save(tmp_path / "photo.png")
    data = (tmp_path / "photo.png").read_bytes()
    position = {"signature": 1, "header": 18, "pixels": data.index(b"IDAT") + 50}[place]
    (tmp_path / "photo.png").write_bytes(flipped(data, position))
    assert "photo.png" in refusal("predict", files / "tiny.keras", tmp_path / "photo.png")


@pytest.mark.parametrize("name", ["x.pth", "x.pth.tar", "x.safetensors", "x.keras"])
@pytest.mark.parametrize("text", ["", "These are not weights.\n", "<!DOCTYPE html>\n<p>404"])
def test_a_text_file_with_a_checkpoints_name(name, text, tmp_path, convert_refusal):
    (tmp_path / name).write_text(text)
    assert name in convert_refusal(tmp_path / name)


# ---------------------------------------------------------------------------------------
# Whole files that do not fit


def saved(state, folder):
    torch.save(state, folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.parametrize(
    "name",
    [
        "patch_embed.proj.weight",
        "network.1.proj.bias",
        "network.0.0.norm1.weight",
        "network.2.0.mlp.fc1.weight",
        "network.6.0.layer_scale_2",
        "norm.bias",
        "head.weight",
        "head.bias",
    ],
)
def test_a_missing_tensor_is_named(name, state, tmp_path, convert_refusal):
    rest = {key: value for key, value in state.items() if key != name}
    assert name in convert_refusal(saved(rest, tmp_path))


@pytest.mark.parametrize("name", ["extra.weight", "network.0.0.layer_scale_3", "network.6.3.foo"])
def test_an_extra_tensor_is_named(name, state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {name: torch.ones(8)}, tmp_path))
    assert name in message or "network.6.1.norm1.weight" in message  # depth 4, says the name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("patch_embed.proj.bias", (9,)),
        ("network.1.proj.weight", (8, 8, 3, 5)),
        ("network.3.proj.weight", (16, 9, 3, 3)),
        ("network.2.0.norm2.weight", (8, 1)),
        ("network.4.0.mlp.fc2.weight", (64, 16, 1, 1)),
        ("network.0.0.layer_scale_1", ()),
        ("head.weight", (3, 17)),
        ("head.bias", (4,)),
    ],
)
def test_a_misshaped_tensor_is_named(name, shape, state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {name: torch.ones(shape)}, tmp_path))
    assert name in message and str(shape) in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["patch_embed.proj.weight", "network.4.0.norm1.bias", "head.bias"])
def test_weights_that_are_not_finite_are_named(name, value, state, tmp_path, convert_refusal):
    damaged = state[name].clone()
    damaged.view(-1)[-1] = value
    message = convert_refusal(saved(state | {name: damaged}, tmp_path))
    assert f"{name} must hold finite weights" in message


def test_integer_weights_are_named(state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {"head.bias": torch.arange(3)}, tmp_path))
    assert "head.bias must hold floating-point numbers" in message


def test_layouts_that_do_not_fit(files, tmp_path, convert_refusal):
    message = convert_refusal(files / "tiny.pth.tar", "--layout", "foo")
    assert "sail, timm, hf" in message and "'foo'" in message
    assert "stem.conv.weight" in convert_refusal(files / "tiny.pth.tar", "--layout", "timm")
    other = {"conv1.weight": torch.ones(64, 3, 7, 7), "layer1.0.bn1.weight": torch.ones(64)}
    message = convert_refusal(saved(other, tmp_path))
    assert "no PoolFormer in a known layout" in message and "conv1.weight" in message


def test_sources_that_are_not_there(tmp_path, convert_refusal):
    assert "nosuch.pth is neither a file" in convert_refusal(tmp_path / "nosuch.pth")
    assert "directory without weights" in convert_refusal(tmp_path)
    assert "Did you mean poolformer_s12_in1k?" in convert_refusal("poolformer_s12_in22k")


def test_weights_that_must_be_downloaded_say_where(convert_refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keras_poolformer.presets._presets.cache_clear()
    try:
        message = convert_refusal("poolformer_s12")
    finally:
        monkeypatch.undo()
        keras_poolformer.presets._presets.cache_clear()
    assert "releases/download/v1.0/poolformer_s12.pth.tar" in message
    assert str(tmp_path / "models/keras_poolformer/poolformer_s12.pth.tar") in message


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--head", "foo", "norm_pool, pool_norm"),
        ("--activation", "foo", "gelu"),
        ("--pool-size", "4", "odd"),
        ("--pool-size", "-3", "from 1"),
        ("--num-classes", "-1", "from 0"),
    ],
)
def test_options_out_of_bounds(option, value, says, files, convert_refusal):
    assert says in convert_refusal(files / "tiny.pth.tar", option, value)


# ---------------------------------------------------------------------------------------
# convert


def test_convert_reports_and_writes(files, run, out):
    status, printed, lines = run("convert", files / "tiny.pth.tar", "-o", out / "x.keras")
    assert (status, lines) == (0, [])
    assert printed.startswith("tiny.pth.tar: 52 tensors, 10,987 parameters, float32, layout sail")
    assert [path.name for path in out.iterdir()] == ["x.keras"]


def test_an_output_is_replaced_only_if_asked(files, run, refusal, out):
    output = out / "x.keras"
    output.write_text("precious")
    arguments = ("convert", files / "tiny.pth.tar", "-o", output)
    assert "exists already" in refusal(*arguments)
    assert "exists already" in refusal("convert", "nosuch.pth", "-o", output)  # before reading
    assert output.read_text() == "precious"
    assert run(*arguments, "--overwrite")[0] == 0
    assert config_of(output).widths == TINY.widths


def test_outputs_that_cannot_be(files, refusal, out):
    source = files / "tiny.pth.tar"
    message = refusal("convert", source, "-o", out / "missing/x.keras")
    assert "missing is not an existing folder" in message
    assert "must end in .keras" in refusal("convert", source, "-o", out / "x.h5")
    (out / "folder.keras").mkdir()
    assert "exists already" in refusal("convert", source, "-o", out / "folder.keras")


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.safetensors", "tiny.keras"])
def test_checksums(name, files, run, refusal, out):
    right = hashlib.sha256((files / name).read_bytes()).hexdigest()
    arguments = ("convert", files / name, "-o", out / "x.keras", "--sha256")
    message = refusal(*arguments, right[:-1] + ("0" if right[-1] != "0" else "1"))
    assert f"Received: {right}" in message
    assert run(*arguments, right.upper())[0] == 0


def test_averaged_weights_are_preferred_unless_refused(state, run, out, tmp_path):
    averaged = random_weights(seed=1)
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "x.pth")
    arguments = ("convert", tmp_path / "x.pth", "--overwrite", "-o", out / "x.keras")
    for option, expected in ((), averaged), (("--no-ema",), state):
        assert run(*arguments, *option)[0] == 0
        model = PoolFormerImageClassifier.from_preset(out / "x.keras")
        np.testing.assert_array_equal(model.head.bias, expected["head.bias"])


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.keras"])
def test_other_classes_get_a_new_head(name, files, run, out):
    arguments = ("convert", files / name, "--num-classes", 5, "-o", out / "x.keras")
    status, printed, _ = run(*arguments)
    assert status == 0
    assert "new, not from the checkpoint: head/kernel, head/bias" in printed
    status, printed, _ = run(*arguments, "--json", "--overwrite")
    assert json.loads(printed)["new_tensors"] == ["head/kernel", "head/bias"]
    assert config_of(out / "x.keras").num_classes == 5


def test_what_shapes_do_not_tell(files, run, out):
    options = ("--pool-size", 5, "--activation", "relu", "--head", "pool_norm")
    status, printed, _ = run("convert", files / "tiny.pth.tar", "-o", out / "x.keras", *options)
    assert status == 0 and "head pool_norm" in printed
    config = config_of(out / "x.keras")
    assert (config.pool_size, config.activation, config.head) == (5, "relu", "pool_norm")


def test_a_model_without_an_origin_can_be_converted(run, out):
    PoolFormerImageClassifier(TINY).save(out / "fresh.keras")
    arguments = ("convert", out / "fresh.keras", "--overwrite", "-o", out / "x.keras")
    status, printed, _ = run(*arguments)
    assert status == 0 and "does not say" in printed
    status, printed, _ = run(*arguments, "--json")
    assert status == 0 and json.loads(printed) is None


# ---------------------------------------------------------------------------------------
# Nothing half-written


@pytest.fixture
def small_disk():
    """A disk on which no file grows beyond a few kilobytes: the kernel refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def half_written(path, data=b"half of it"):
    Path(path).parent.mkdir(exist_ok=True)
    with Path(path).open("wb") as file:
        file.write(data)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("existing", [None, "precious"])
def test_convert_on_a_full_disk(existing, files, refusal, out, monkeypatch):
    if existing:
        (out / "x.keras").write_text(existing)
    monkeypatch.setattr(keras.Model, "save", lambda self, path: half_written(path))
    arguments = ("convert", files / "tiny.pth.tar", "-o", out / "x.keras", "--overwrite")
    assert "No space left on device" in refusal(*arguments)
    assert not existing or (out / "x.keras").read_text() == existing


def test_convert_where_the_kernel_stops_the_writing(files, refusal, out, small_disk):
    small_disk(20_000)
    message = refusal("convert", files / "tiny.pth.tar", "-o", out / "x.keras")
    assert "too large" in message


def test_export_on_a_full_disk(files, refusal, out, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", half_written)
    (out / "x.tflite").touch()
    arguments = ("export", files / "tiny.keras", "-o", out / "x.tflite", "--overwrite")
    assert "No space left on device" in refusal(*arguments)
    assert (out / "x.tflite").stat().st_size == 0


def test_saved_model_on_a_full_disk(files, refusal, out, monkeypatch):
    import tensorflow as tf

    def save(module, path, signatures):
        half_written(f"{path}/saved_model.pb")

    monkeypatch.setattr(tf.saved_model, "save", save)
    arguments = ("export", files / "tiny.keras", "--recipe", "saved_model", "-o", out / "x")
    assert "No space left on device" in refusal(*arguments)


# ---------------------------------------------------------------------------------------
# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("foo",),
        ("convert",),
        ("convert", "x.pth"),
        ("convert", "x.pth", "-o", "x.keras", "--num-classes", "three"),
        ("predict", "x.keras"),
        ("predict", "x.keras", "x.png", "--top-k", "0"),
        ("presets", "--foo"),
    ],
)
def test_bad_usage_is_one_line(arguments, run):
    status, printed, (line,) = run(*arguments)
    assert (status, printed) == (2, "")
    assert ": error: " in line and "--help" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, run):
    status, printed, lines = run(command, "--help")
    assert (status, lines) == (0, [])
    assert f"example: keras-poolformer {command}" in printed


def test_help_and_version(run):
    status, printed, _ = run("--help")
    assert status == 0 and all(command in printed for command in COMMANDS)
    assert run("--version") == (0, f"{keras_poolformer.__version__}\n", [])


# ---------------------------------------------------------------------------------------
# presets, summary


def test_presets(run):
    status, printed, lines = run("presets", "--json")
    assert (status, lines) == (0, [])
    assert json.loads(printed) == keras_poolformer.list_presets()
    status, printed, _ = run("presets")
    rows = printed.splitlines()
    assert [row.split()[0] for row in rows] == list(keras_poolformer.list_presets())
    assert "poolformer_tiny_cifar10" in printed


def test_summary_of_a_released_variant_needs_no_weights(run):
    status, printed, lines = run("summary", "poolformer_s12", "--json")
    assert (status, lines) == (0, [])
    summary = json.loads(printed)
    assert summary["params"] == 11_915_176  # as timm counts them
    assert [stage["stride"] for stage in summary["stages"]] == [4, 8, 16, 32]
    assert [stage["width"] for stage in summary["stages"]] == [64, 128, 320, 512]
    assert [stage["blocks"] for stage in summary["stages"]] == [2, 2, 6, 2]
    head = 512 * 1000 + 1000 + 2 * 512
    assert sum(stage["params"] for stage in summary["stages"]) == 11_915_176 - head
    assert summary["transform"]["crop_pct"] == 0.9
    assert PoolFormerConfig(**summary["config"]).num_classes == 1000


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.keras"])
def test_summary_of_a_file(name, files, run):
    status, printed, lines = run("summary", files / name)
    assert (status, lines) == (0, [])
    first, _, *rows = printed.splitlines()
    assert "10,987 parameters, 3 classes, head norm_pool, 224 pixels" in first
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert sum(counts) == 10_987 and counts[-1] == 3 * 16 + 3 + 2 * 16


def test_summary_is_refused(refusal, tmp_path):
    (tmp_path / "x.pth").write_text("no weights")
    assert "no checkpoint" in refusal("summary", tmp_path / "x.pth")
    assert "nor a preset" in refusal("summary", "poolformer_xxl")


# ---------------------------------------------------------------------------------------
# predict


def expected_probabilities(files, image):
    model = PoolFormerImageClassifier.from_preset(files / "tiny.keras")
    logits = np.asarray(model(ImageTransform()(image)[None]))[0].astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("name", ["tiny.keras", "tiny.tflite", "tiny.pth.tar"])
def test_predict_agrees_with_the_model(name, files, run):
    status, printed, lines = run("predict", files / name, *PHOTOS[:2], "--json")
    assert (status, lines) == (0, [])
    rows = json.loads(printed)
    assert list(rows) == [str(photo) for photo in PHOTOS[:2]]
    for photo in PHOTOS[:2]:
        expected = expected_probabilities(files, photo)
        received = {row["label"]: row["probability"] for row in rows[str(photo)]}
        assert list(received) == [str(i) for i in np.argsort(-expected)]
        np.testing.assert_allclose([received[str(i)] for i in range(3)], expected, atol=1e-6)


def test_predict_takes_files_and_folders_in_order(files, run, tmp_path):
    for name in ("b.PNG", "a.png", "c.webp"):
        Image.open(PHOTOS[0]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    status, printed, _ = run(
        "predict", files / "tiny.tflite", PHOTOS[1], tmp_path, "--top-k", 2, "--json"
    )
    assert status == 0
    rows = json.loads(printed)
    assert [Path(name).name for name in rows] == [PHOTOS[1].name, "a.png", "b.PNG", "c.webp"]
    assert all(len(top) == 2 for top in rows.values())


def test_predict_prints_a_table_with_labels(run):
    status, printed, lines = run("predict", "poolformer_tiny_cifar10", PHOTOS[0], "--top-k", 3)
    assert (status, lines) == (0, [])
    first, *rows = printed.splitlines()
    assert first == str(PHOTOS[0]) and len(rows) == 3
    shares = [float(row.split()[0].rstrip("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert {row.split()[1] for row in rows} <= set(CIFAR10_LABELS)


def test_predict_says_which_image_is_missing(files, refusal, tmp_path):
    message = refusal("predict", files / "tiny.keras", PHOTOS[0], tmp_path / "nosuch.png")
    assert "nosuch.png must be an image file or a folder" in message
    assert "holds no image files" in refusal("predict", files / "tiny.keras", tmp_path)


def test_predict_refuses_files_that_are_no_models(files, refusal, tmp_path):
    (tmp_path / "x.tflite").write_text("no model")
    assert "no usable TFLite model" in refusal("predict", tmp_path / "x.tflite", PHOTOS[0])
    assert "no such file" in refusal("predict", tmp_path / "y.tflite", PHOTOS[0])
    data = (files / "tiny.tflite").read_bytes()
    (tmp_path / "x.tflite").write_bytes(data[: len(data) // 2])
    refusal("predict", tmp_path / "x.tflite", PHOTOS[0])


# ---------------------------------------------------------------------------------------
# export


def test_export_reports_what_it_wrote(files, run, out):
    output = out / "x.tflite"
    options = ("--recipe", "dynamic_int8", "--inputs", "pixels", "--outputs", "probabilities")
    status, printed, lines = run("export", files / "tiny.keras", "-o", output, "--json", *options)
    assert (status, lines) == (0, [])
    report = json.loads(printed)
    assert report.keys() == {"path", "bytes", "recipe", "error"}
    assert (report["path"], report["recipe"]) == (str(output), "dynamic_int8")
    assert report["bytes"] == output.stat().st_size
    assert 0 <= report["error"] < 0.1
    assert [path.name for path in out.iterdir()] == ["x.tflite"]


def test_export_refuses_unknown_words(files, refusal, out):
    arguments = ("export", files / "tiny.keras", "-o", out / "x.tflite")
    choices = {
        "--recipe": ["'fp32'", "'fp16'", "'dynamic_int8'", "'saved_model'"],
        "--inputs": ["'normalized'", "'pixels'"],
        "--outputs": ["'logits'", "'probabilities'"],
    }
    for option, words in choices.items():
        message = refusal(*arguments, option, "foo")
        assert all(word in message for word in ["'foo'", *words]), message


def test_export_replaces_only_if_asked(files, refusal, run, out):
    output = out / "x.tflite"
    output.write_text("precious")
    assert "exists already" in refusal("export", files / "tiny.keras", "-o", output)
    assert "exists already" in refusal("export", "nosuch.keras", "-o", output)  # before reading
    assert output.read_text() == "precious"
    assert run("export", files / "tiny.keras", "-o", output, "--overwrite")[0] == 0
    assert output.stat().st_size > 40_000


# ---------------------------------------------------------------------------------------
# As a program of its own


def program(*arguments, **options):
    code = "import sys; from keras_poolformer.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize("recipe", ["fp32", "saved_model"])
def test_the_terminal_shows_no_chatter(recipe, files, out):
    done = program("export", files / "tiny.keras", "--recipe", recipe, "-o", out / "x")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert all(PROGRESS.match(line) for line in lines) and len(lines) == 2, done.stderr


def test_light_commands_start_without_tensorflow(tmp_path):
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    for arguments in (("presets",), ("export", "--help"), ("summary", "nosuch")):
        done = program(*arguments, env=environment)
        assert "imported" not in done.stderr
        assert done.returncode == (2 if "nosuch" in arguments else 0)


def test_a_closed_pipe_is_no_error():
    code = "from keras_poolformer.cli import main; raise SystemExit(main(['presets']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # as `| head -0` does
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_options_are_the_documented_ones(run):
    """The words that users and scripts rely on."""
    documented = {
        "presets": ["--json"],
        "summary": ["--json"],
        "convert": ["--layout", "--head", "--num-classes", "--pool-size", "--activation"],
        "predict": ["--top-k", "--json"],
        "export": ["--recipe", "--inputs", "--outputs"],
    }
    documented["convert"] += ["--no-ema", "--sha256"]
    for command in ("convert", "export"):
        documented[command] += ["--output", "--overwrite", "--json"]
    for command, options in documented.items():
        printed = run(command, "--help")[1]
        assert [option for option in options if option not in printed] == []
