"""CIFAR-10's binary files, and the class folders that are made of them."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from conversion import cifar10
from conversion.__main__ import main


def test_reads_the_original_binary_format(tmp_path):
    """A label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, row by row."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (3, 3073), np.uint8)
    records[:, 0] = [3, 9, 0]
    records.tofile(tmp_path / "test_batch.bin")
    images, labels = cifar10.load_split(tmp_path, "test")
    assert labels.tolist() == [3, 9, 0]
    assert images.shape == (3, 32, 32, 3)
    assert images[1, 2, 5].tolist() == [records[1, 1 + 1024 * c + 2 * 32 + 5] for c in range(3)]


def test_a_truncated_file_is_refused(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(ValueError, match="3073"):
        cifar10.load_split(tmp_path, "test")


@pytest.fixture
def records(tmp_path):
    """Five random test images; the bytes of the file."""
    records = np.random.default_rng(1).integers(0, 256, (5, 3073), np.uint8)
    records[:, 0] = [3, 9, 0, 3, 5]
    records.tofile(tmp_path / "test_batch.bin")
    return records


def test_class_folders_keep_every_pixel(tmp_path, records, capsys):
    output = tmp_path / "folders"
    arguments = ["cifar10-folders", "--data", str(tmp_path), "--output", str(output)]
    assert main([*arguments, "--split", "test"]) == 0
    assert "5 images" in capsys.readouterr().out
    assert sorted(path.name for path in output.iterdir()) == sorted(cifar10.LABELS)
    written = {path.relative_to(output).as_posix() for path in output.glob("*/*")}
    names = ("cat/00000", "truck/00001", "airplane/00002", "cat/00003", "dog/00004")
    assert written == {f"{name}.png" for name in names}
    for name, record in zip(names, records, strict=True):
        pixels = np.asarray(Image.open(output / f"{name}.png"))
        assert np.array_equal(pixels, record[1:].reshape(3, 32, 32).transpose(1, 2, 0))


def test_the_train_split_is_five_files_in_order(tmp_path):
    for number in range(1, 6):
        np.full(3073, number, np.uint8).tofile(tmp_path / f"data_batch_{number}.bin")
    assert cifar10.write_class_folders(tmp_path, "train", tmp_path / "folders") == 5
    for place, label in enumerate(cifar10.LABELS[1:6]):
        pixels = np.asarray(Image.open(tmp_path / "folders" / label / f"{place:05d}.png"))
        assert (pixels == place + 1).all()


def test_folders_are_whole_or_not_there(tmp_path, records, capsys, monkeypatch):
    output = tmp_path / "folders"
    arguments = ["cifar10-folders", "--data", str(tmp_path), "-o", str(output)]
    (output / "cat").mkdir(parents=True)
    (output / "cat" / "00009.png").touch()
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    (output / "cat" / "precious.png").touch()
    assert main([*arguments, "--overwrite"]) == 2
    assert "'cat/precious.png' in it" in capsys.readouterr().err
    (output / "cat" / "precious.png").unlink()
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + bytes(3072))
    assert main([*arguments, "--overwrite"]) == 2
    assert "labels 0 to 9. Received: 10" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "test_batch.bin").unlink()
    assert main([*arguments, "--overwrite"]) == 2
    assert "test_batch.bin" in capsys.readouterr().err.splitlines()[-1]
    records.tofile(tmp_path / "test_batch.bin")
    with monkeypatch.context() as context:
        context.setattr(Image.Image, "save", disk_full)
        assert main([*arguments, "--overwrite"]) == 2
    assert [path.name for path in output.rglob("*.png")] == ["00009.png"]
    assert main([*arguments, "--overwrite"]) == 0
    assert not (output / "cat" / "00009.png").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"folders", "test_batch.bin"}


def disk_full(image, path):
    path.write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
