"""Checkpoints that would run code, and damaged files: one line says so, and nothing is written."""

import os
import pickle
import re
import shutil
import sys
import types

import pytest
from PIL import Image

torch = pytest.importorskip("torch")


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
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(marker)!r}, 'w').close()", encoding="utf-8", newline="\n"
    )
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
    assert re.search("corrupt|begins with|empty", convert_refusal(tmp_path / name))


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
    assert re.search("corrupt|without data.pkl", convert_refusal(tmp_path / "x.pth"))


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


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
def test_a_truncated_image(name, files, tmp_path, run, refusal, photographs):
    Image.open(photographs[0]).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    message = refusal("predict", files / "tiny.keras", tmp_path / name)
    assert name in message and "cannot be read as an image" in message
    status, printed, lines = run("predict", files / "tiny.keras", photographs[1], tmp_path / name)
    assert status == 1
    assert photographs[1].name in printed  # the other one is classified
    assert name in lines[0] and "cannot be read as an image" in lines[0]


@pytest.mark.first(1)
@pytest.mark.parametrize("place", ["signature", "header", "pixels"])
def test_a_flipped_bit_in_an_image(place, files, tmp_path, refusal, photographs):
    Image.open(photographs[0]).save(tmp_path / "photo.png")
    data = (tmp_path / "photo.png").read_bytes()
    position = {"signature": 1, "header": 18, "pixels": data.index(b"IDAT") + 50}[place]
    (tmp_path / "photo.png").write_bytes(flipped(data, position))
    assert "photo.png" in refusal("predict", files / "tiny.keras", tmp_path / "photo.png")


@pytest.mark.parametrize("name", ["x.pth", "x.pth.tar", "x.safetensors", "x.keras"])
@pytest.mark.parametrize("text", ["", "These are not weights.\n", "<!DOCTYPE html>\n<p>404"])
def test_a_text_file_with_a_checkpoints_name(name, text, tmp_path, convert_refusal):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="\n")
    assert name in convert_refusal(tmp_path / name)
