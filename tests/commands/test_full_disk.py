"""Nothing half-written is left behind where the disk is full."""

import errno
import os
import resource
from pathlib import Path

import keras
import pytest


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
        (out / "x.keras").write_text(existing, encoding="utf-8", newline="\n")
    monkeypatch.setattr(keras.Model, "save", lambda self, path: half_written(path))
    arguments = ("convert", files / "tiny.pth.tar", "-o", out / "x.keras", "--overwrite")
    assert "No space left on device" in refusal(*arguments)
    assert not existing or (out / "x.keras").read_text(encoding="utf-8") == existing


def test_convert_where_the_kernel_stops_the_writing(files, refusal, out, small_disk):
    small_disk(20_000)
    message = refusal("convert", files / "tiny.pth.tar", "-o", out / "x.keras")
    assert "too large" in message


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("library", ["safetensors", "TensorFlow"])
def test_libraries_that_the_kernel_stops(library, files, refusal, out, small_disk):
    """Their errors are their own: neither is an OSError."""
    small_disk(20_000)
    arguments = {
        "safetensors": ("convert", "--to", "sail", "-o", out / "x.safetensors"),
        "TensorFlow": ("export", "--recipe", "saved_model", "-o", out / "x"),
    }[library]
    message = refusal(*arguments, files / "tiny.pth.tar")
    assert f"{arguments[-1]} cannot be written: " in message


def test_weights_have_the_mode_of_other_files(files, run, out):
    """safetensors itself makes files that nobody else can read."""
    before = os.umask(0o022)
    try:
        for path in (out / "x.safetensors", out / "hf"):
            assert run("convert", files / "tiny.keras", "--to", "hf", "-o", path)[0] == 0
    finally:
        os.umask(before)
    for path in (out / "x.safetensors", out / "hf/model.safetensors", out / "hf/config.json"):
        assert path.stat().st_mode & 0o777 == 0o644
    assert (out / "hf").stat().st_mode & 0o777 == 0o755
