"""Directories of weights: shards, their index, and which file is preferred."""

import hashlib
import json

import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.reading.weight_files import DIRECTORY_FILES
from keras_poolformer.support.errors import InputError


@pytest.fixture
def sharded(save, seeded):
    """Writes five shards and their index into a folder; returns the index and the tensors."""

    def sharded(folder, suffix, index_changes=None):
        shards = {
            f"model-00001-of-00005.{suffix}": {"a": seeded(2), "b": seeded(3).bfloat16()},
            f"model-00002-of-00005.{suffix}": {"c": seeded(4)},
            **{f"model-0000{n}-of-00005.{suffix}": {f"d{n}": seeded(n)} for n in (3, 4, 5)},
        }
        for name, tensors in shards.items():
            save(tensors, folder / name, "safetensors" if suffix == "safetensors" else "zip")
        weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
        weight_map |= index_changes or {}
        stem = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
        index = folder / f"{stem}.index.json"
        index.write_text(
            json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}),
            encoding="utf-8",
            newline="\n",
        )
        return index, {name: t for tensors in shards.values() for name, t in tensors.items()}

    return sharded


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded_directory(tmp_path, suffix, sharded, assert_same_tensors):
    _, tensors = sharded(tmp_path, suffix)
    checkpoint = read_checkpoint(tmp_path)
    assert_same_tensors(checkpoint, tensors)
    assert [path.name for path in checkpoint.paths] == [
        f"model-0000{n}-of-00005.{suffix}" for n in range(1, 6)
    ]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in checkpoint.paths]
    assert checkpoint.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "/etc/passwd", "a/b", "..", ".", "", "c:x", "a\\b", "x\0", 3, None, ["a"]],
)
def test_a_shard_outside_the_directory_is_refused(tmp_path, shard, save, seeded, sharded, refusal):
    folder = tmp_path / "hub"
    folder.mkdir()
    save({"d": seeded(1)}, tmp_path / "x.safetensors", "safetensors")
    index, _ = sharded(folder, "safetensors", {"d": shard})
    message = refusal(folder)
    assert index.name in message and "directly in the same directory" in message


def test_missing_shard_and_missing_tensor_and_duplicate(tmp_path, sharded, refusal, save, seeded):
    sharded(tmp_path, "safetensors", {"zz": "model-00002-of-00005.safetensors"})
    with pytest.raises(InputError, match=r"model-00002-of-00005\.safetensors lacks 'zz'"):
        read_checkpoint(tmp_path)
    sharded(tmp_path, "safetensors", {"d": "gone\n.safetensors"})
    assert "gone\\n.safetensors', which is missing" in refusal(tmp_path)
    sharded(tmp_path, "safetensors")
    second = tmp_path / "model-00002-of-00005.safetensors"
    save({"c": seeded(4), "a": seeded(2)}, second, "safetensors")
    with pytest.raises(InputError, match="holds 'a', as another shard does"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_index_without_a_map(tmp_path, index, refusal):
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps(index), encoding="utf-8", newline="\n"
    )
    assert "weight_map" in refusal(tmp_path)


def test_order_of_preference_in_a_directory(tmp_path, sharded, save, seeded):
    _, shards = sharded(tmp_path, "bin")
    assert read_checkpoint(tmp_path).tensors.keys() == shards.keys()
    save({"bin": seeded(1)}, tmp_path / "pytorch_model.bin")
    assert list(read_checkpoint(tmp_path).tensors) == ["bin"]
    sharded(tmp_path, "safetensors")
    assert read_checkpoint(tmp_path).tensors.keys() == shards.keys()
    assert read_checkpoint(tmp_path).paths[0].suffix == ".safetensors"
    save({"whole": seeded(1)}, tmp_path / "model.safetensors", "safetensors")
    assert list(read_checkpoint(tmp_path).tensors) == ["whole"]


def test_directory_without_weights(tmp_path, refusal):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8", newline="\n")
    message = refusal(tmp_path)
    assert all(name in message for name in DIRECTORY_FILES)
