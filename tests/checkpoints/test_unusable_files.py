"""What is said about files that are not a checkpoint, or a corrupt one."""

import io
import random
import sys
import tarfile
import zipfile

import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.support.errors import InputError, MissingExtraError

torch = pytest.importorskip("torch")

FORMATS = ("zip", "legacy", "safetensors")


# Files that are something else


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"these are\nweights, honestly", "it begins with b'these are\\nweigh"),
        (b"<!DOCTYPE html><html>", "is not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        (b"\x1f\x8b" + bytes(30), "is compressed"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5 file, as Keras"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x93NUMPY\x01\0", "NumPy array"),
        (b"\x1c\0\0\0TFL3" + bytes(30), "TensorFlow Lite model"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "ONNX program"),
        (b"\x80\x04}\x94.", "is a pickle that torch.save did not write"),
        (b"\x80", "is corrupt"),
        (b"PK\x03\x04" + bytes(100), "is corrupt"),
        (b"\xff" * 8 + b"{", "is corrupt"),
        (b"\x02" + bytes(7) + b"{}", "no tensors"),
    ],
)  # fmt: skip
def test_files_that_are_something_else(tmp_path, content, said, refusal):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert said in refusal(path)


def test_tar_missing_path_and_special_file(tmp_path, refusal):
    path = tmp_path / "old.pth.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    assert "tar archive" in refusal(path)
    assert "does not exist" in refusal(tmp_path / "none.pth")
    line_break = tmp_path / "two\nlines.pth"
    with pytest.raises(InputError, match=r"two lines.pth does not exist") as caught:
        read_checkpoint(line_break)
    assert "\n" not in str(caught.value)


def test_unreadable_file(tmp_path, monkeypatch, weights, save, refusal):
    path = save(weights, tmp_path / "x.pth")

    def deny(*args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("keras_poolformer.support.regular_files.os.open", deny)
    assert "cannot be read: Permission denied" in refusal(path)


def test_torchscript_and_foreign_zip(tmp_path, refusal):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/data.pkl", "x/code/__torch__.py", "x/constants.pkl"):
            archive.writestr(name, b"")
    message = refusal(path)
    assert "TorchScript" in message and "state_dict()" in message
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
    assert "without data.pkl" in refusal(path)


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize("value", [torch.ones(2), [1], {}, {"epoch": 1}, {"model": {"a": 1}}])
def test_checkpoint_without_named_tensors(tmp_path, format, value, refusal, save):
    assert "hold" in refusal(save(value, tmp_path / "x.pth", format))


@pytest.mark.parametrize("format", ["zip", "safetensors"])
def test_float8_is_named(tmp_path, format, save, refusal):
    path = save({"w": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x.pth", format)
    message = refusal(path)
    assert "'w' as f" in message.lower() and "e4m3" in message.lower()


def test_safetensors_not_installed(tmp_path, monkeypatch, weights, save, assert_same_tensors):
    path = save(weights, tmp_path / "x.safetensors", "safetensors")
    zipped = save(weights, tmp_path / "x.pth")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"keras-poolformer\[keras\]"):
        read_checkpoint(path)
    assert_same_tensors(read_checkpoint(zipped), weights)


# Damage


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_anywhere(tmp_path, format, weights, save, refusal):
    data = save(weights, tmp_path / "whole", format).read_bytes()
    path = tmp_path / "cut.pth"
    for place in range(20):
        path.write_bytes(data[: len(data) * place // 20])
        refusal(path)
    path.write_bytes(data[:-1])
    refusal(path)


def read_or_none(path):
    """The tensors, or None where the file is refused; every other exception fails the test."""
    try:
        return read_checkpoint(path)
    except InputError as error:
        assert "\n" not in str(error)
        return None


def test_a_flipped_bit_in_a_zip_never_changes_a_value(
    tmp_path, weights, seeded, save, assert_same_tensors
):
    weights["bfloat"] = seeded(9).bfloat16()
    weights["transposed"] = seeded(3, 4).t()
    data = save({"state_dict": weights, "epoch": 1}, tmp_path / "whole").read_bytes()
    path, chance, refused = tmp_path / "flipped.pth", random.Random(0), 0
    for bit in chance.sample(range(8 * len(data)), 400):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        checkpoint = read_or_none(path)
        refused += checkpoint is None
        if checkpoint is not None:
            assert_same_tensors(checkpoint, weights)
    assert 100 < refused < 400


@pytest.mark.parametrize("format", ["legacy", "safetensors"])
def test_a_flipped_bit_elsewhere_raises_nothing_but_input_errors(tmp_path, format, weights, save):
    # These formats hold no checksum: a flip among the values, and some in the description, give
    # other values, and only a digest from outside can tell.
    data = save(weights, tmp_path / "whole", format).read_bytes()
    path, chance, refused = tmp_path / "flipped.pth", random.Random(1), 0
    for bit in chance.sample(range(8 * len(data)), 400):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        refused += read_or_none(path) is None
    assert refused > 50


def test_zip_with_doctored_parts(tmp_path, weights, save, rezipped, refusal, assert_same_tensors):
    source = save(weights, tmp_path / "x.pth")
    path = tmp_path / "changed.pth"
    keep = lambda name, data: data  # noqa: E731
    rezipped(source, path, keep, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)
    rezipped(source, path, lambda n, d: None if n.endswith("data/1") else d)
    assert "'data/1' is missing" in refusal(path)
    for changed in (b"", bytes(11), bytes(13), bytes(4096)):
        rezipped(source, path, lambda n, d, new=changed: new if n.endswith("data/1") else d)
        assert "'conv.bias' are not as many" in refusal(path)
    rezipped(source, path, lambda n, d: b"middle" if n.endswith("byteorder") else d)
    assert "byte order" in refusal(path)
    rezipped(source, path, lambda n, d: None if n.endswith("byteorder") else d)
    assert_same_tensors(read_checkpoint(path), weights)  # as PyTorch before 2.1 wrote it
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(rezipped(source, path, keep), "a") as twice,
    ):
        twice.writestr("x/data/1", bytes(12))
    assert "same name" in refusal(path)
