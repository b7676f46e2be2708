"""What comes out of a checkpoint file, against torch itself; and what is said about bad ones."""

import collections
import hashlib
import io
import json
import random
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from keras_poolformer.checkpoints import archives, readers
from keras_poolformer.checkpoints.readers import read_checkpoint, read_json
from keras_poolformer.errors import InputError, MissingExtraError

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

FORMATS = ("zip", "legacy", "safetensors")


def seeded(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(*shape, generator=generator).to(dtype)


def save(value, path, format="zip", **options):
    if format == "safetensors":
        safetensors_torch.save_file(value, path)
    else:
        torch.save(value, path, _use_new_zipfile_serialization=format == "zip", **options)
    return path


def assert_same(array, tensor):
    """Bit by bit; bfloat16 as the same values in float32."""
    tensor = tensor.detach()
    expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.flags.c_contiguous
    assert array.tobytes() == expected.tobytes()


def assert_same_tensors(checkpoint, tensors):
    assert list(checkpoint.tensors) == list(checkpoint.dtypes)
    assert set(checkpoint.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert_same(checkpoint.tensors[name], tensor)
        assert checkpoint.dtypes[name] == str(tensor.dtype).removeprefix("torch.")


def refusal(path, read=read_checkpoint, **options):
    """The message: one line that names the file."""
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.isprintable()  # so it is one line
    assert len(message) < 400 + len(str(path))
    assert path.name in message
    return message


@pytest.fixture
def weights():
    return {"conv.weight": seeded(3, 2, 2, 2), "conv.bias": seeded(3), "scale": seeded(1)}


ALL_DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_every_dtype_is_exact(tmp_path, format, dtype):
    tensors = {"a": (seeded(4, 5) * 3).abs().to(dtype), "b": torch.ones(2, dtype=dtype)}
    path = save(tensors, tmp_path / "x.pth", format)
    assert_same_tensors(read_checkpoint(path), tensors)


@pytest.mark.parametrize("format", FORMATS)
def test_special_values_keep_their_bits(tmp_path, format):
    bits = torch.tensor([0x7F80, 0xFF80 - 65536, 0x7FC1, 1, 0x8000 - 65536, 0x3F81]).short()
    tensors = {
        "bfloat": bits.view(torch.bfloat16),
        "single": torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0, 1e-45]),
    }
    checkpoint = read_checkpoint(save(tensors, tmp_path / "x.pth", format))
    assert_same(checkpoint.tensors["single"], tensors["single"])
    upper = checkpoint.tensors["bfloat"].view(np.uint32) >> 16
    assert upper.astype(np.uint16).tobytes() == bits.numpy().tobytes()


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_strides_offsets_and_shared_storages(tmp_path, format, dtype):
    base = seeded(6, 8, dtype=dtype)
    tensors = {
        "base": base,
        "transposed": base.t(),
        "rows": base[2:5],
        "columns": base[:, 3:5],
        "steps": base[::2, 1::3],
        "permuted": seeded(2, 3, 4, dtype=dtype).permute(2, 0, 1),
        "channels_last": seeded(2, 3, 4, 4, dtype=dtype).to(memory_format=torch.channels_last),
        "expanded": seeded(1, dtype=dtype).expand(5, 4),
        "length_one": torch.as_strided(base, (1, 2), (10**9, 1), 3),
        "scalar": torch.tensor(2.5, dtype=dtype),
        "scalar_view": base[3, 4],
        "empty": torch.empty(0, dtype=dtype),
        "empty_matrix": torch.empty(3, 0, 2, dtype=dtype),
        "parameter": torch.nn.Parameter(seeded(2, 2, dtype=dtype)),
    }
    path = save(tensors, tmp_path / "x.pth", format)
    expected = torch.load(path, weights_only=True)
    checkpoint = read_checkpoint(path)
    assert_same_tensors(checkpoint, expected)
    if dtype == torch.float32:
        assert np.shares_memory(checkpoint.tensors["base"], checkpoint.tensors["rows"])


def test_safetensors_shapes(tmp_path):
    tensors = {"scalar": torch.tensor(2.5), "empty": torch.empty(3, 0), "b": seeded(2).bfloat16()}
    path = save(tensors, tmp_path / "no_suffix", "safetensors")
    assert_same_tensors(read_checkpoint(path), tensors)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_pickle_protocols(tmp_path, format, protocol, weights):
    path = save(weights, tmp_path / "x.pth", format, pickle_protocol=protocol)
    assert_same_tensors(read_checkpoint(path), weights)


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_state_dict_of_a_module_with_metadata(tmp_path, format):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = model.state_dict()
    assert isinstance(state, collections.OrderedDict) and hasattr(state, "_metadata")
    checkpoint = read_checkpoint(save(state, tmp_path / "x.pth", format))
    assert_same_tensors(checkpoint, state)
    assert "1.num_batches_tracked" in checkpoint.tensors
    assert list(checkpoint.tensors) == list(state)


def test_parameters_with_attributes(tmp_path):
    parameter = torch.nn.Parameter(seeded(3))
    parameter.note = "kept beside"
    assert_same_tensors(
        read_checkpoint(save({"p": parameter}, tmp_path / "x.pth")), {"p": parameter}
    )


@pytest.mark.parametrize("big_endian", [False, True])
def test_byte_order(tmp_path, big_endian):
    tensors = {
        "a": seeded(3, 4), "t": seeded(3, 4).t(), "h": seeded(5).half(), "b": seeded(5).bfloat16(),
        "u": torch.arange(5).to(torch.uint16), "l": torch.arange(3), "c": torch.tensor([True]),
    }  # fmt: skip
    path = save(tensors, tmp_path / "x.pth")
    if big_endian:
        widths = {0: 4, 1: 4, 2: 2, 3: 2, 4: 2, 5: 8, 6: 1}
        path = rezipped(path, tmp_path / "big.pth", lambda name, data: (
            b"big" if name.endswith("/byteorder")
            else swapped(data, widths[int(name.split("/")[-1])]) if "/data/" in name else data
        ))  # fmt: skip
    assert_same_tensors(read_checkpoint(path), tensors)


def swapped(data, width):
    return np.frombuffer(data, f"<u{width}").byteswap().tobytes()


def rezipped(source, target, change, compression=zipfile.ZIP_STORED):
    """Copies an archive; `change(name, data)` gives an entry's new bytes, None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "state_dict", "model"])
def test_wrappers(tmp_path, format, key, weights):
    value = {"epoch": 3, "arch": "x", "optimizer": {"state": {0: {"m": seeded(2)}}}, key: weights}
    checkpoint = read_checkpoint(save(value, tmp_path / "x.pth.tar", format))
    assert checkpoint.wrapper == key
    assert_same_tensors(checkpoint, weights)


def test_preference_among_wrappers(tmp_path):
    order = ["state_dict_ema", "model_ema", "state_dict", "model"]
    present = list(reversed(order))
    while present:
        value = {key: {"w": torch.full((1,), float(order.index(key)))} for key in present}
        path = save(value, tmp_path / "x.pth")
        best = min(present, key=order.index)
        assert read_checkpoint(path).wrapper == best
        assert read_checkpoint(path).tensors["w"] == order.index(best)
        plain = [key for key in order[2:] if key in present]
        if plain:
            assert read_checkpoint(path, use_ema=False).wrapper == plain[0]
        present.remove(best)


def test_only_averaged_weights(tmp_path, weights):
    path = save({"state_dict_ema": weights}, tmp_path / "x.pth")
    assert "use_ema=True" in refusal(path, use_ema=False)


def test_a_wrapper_without_tensors_does_not_count(tmp_path, weights):
    path = save({"model": "poolformer_s12", "state_dict": {"n": 1}, **weights}, tmp_path / "x.pth")
    checkpoint = read_checkpoint(path)
    assert checkpoint.wrapper == ""
    assert_same_tensors(checkpoint, weights)


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module.module.", "_orig_mod.module.", "module._orig_mod.module.",
     "backbone.", "module.backbone.", "backbone.module.", "_orig_mod.backbone.backbone."],
)  # fmt: skip
def test_prefixes(tmp_path, format, prefix, weights):
    renamed = {prefix + name: tensor for name, tensor in weights.items()}
    assert_same_tensors(read_checkpoint(save(renamed, tmp_path / "x.pth", format)), weights)


def test_of_a_detector_only_the_backbone_is_kept(tmp_path, weights):
    value = {f"module.backbone.{name}": tensor for name, tensor in weights.items()}
    value |= {
        "module.neck.weight": seeded(2),
        "bbox_head.bias": seeded(3),
        "x.backbone.y": seeded(1),
    }
    path = save({"meta": {"CLASSES": ("a", "b")}, "state_dict": value}, tmp_path / "x.pth")
    assert_same_tensors(read_checkpoint(path), weights)


def test_prefixes_inside_a_name_stay(tmp_path):
    tensors = {"a.module.b": seeded(1), "moduleb": seeded(2), "a._orig_mod.c": seeded(3)}
    assert_same_tensors(read_checkpoint(save(tensors, tmp_path / "x.pth")), tensors)


def test_colliding_names(tmp_path):
    path = save({"module.fc.w": seeded(1), "fc.w": seeded(2)}, tmp_path / "x.pth")
    assert "'fc.w' twice" in refusal(path)


def test_unknown_things_that_are_no_weights_are_dropped(tmp_path, weights):
    value = {**weights, "epoch": 3, "lr": 0.1, "name": "x", "none": None, 7: seeded(1), "l": [1]}
    assert_same_tensors(read_checkpoint(save(value, tmp_path / "x.pth")), weights)


@pytest.mark.parametrize("format", FORMATS)
def test_digest_paths_and_progress(tmp_path, format, weights, monkeypatch):
    monkeypatch.setattr(readers, "_HASH_BLOCK", 100)
    path = save(weights, tmp_path / "x.pth", format)
    calls = []
    checkpoint = read_checkpoint(path, progress=lambda *call: calls.append(call))
    data = path.read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    assert checkpoint.paths == (path,)
    assert [done for done, _ in calls] == [*range(100, len(data), 100), len(data)]
    assert {total for _, total in calls} == {len(data)}


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_optimizer_state_is_not_kept_in_memory(tmp_path, format, weights, monkeypatch):
    asked = []
    original = archives._view
    monkeypatch.setattr(archives, "_view", lambda *args: asked.append(args[1]) or original(*args))
    value = {"optimizer": {"exp_avg": seeded(50)}, "state_dict": weights}
    read_checkpoint(save(value, tmp_path / "x.pth", format))
    assert asked == list(weights)


# Directories


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
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return index, {name: t for tensors in shards.values() for name, t in tensors.items()}


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded_directory(tmp_path, suffix):
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
def test_a_shard_outside_the_directory_is_refused(tmp_path, shard):
    folder = tmp_path / "hub"
    folder.mkdir()
    save({"d": seeded(1)}, tmp_path / "x.safetensors", "safetensors")
    index, _ = sharded(folder, "safetensors", {"d": shard})
    message = refusal(folder)
    assert index.name in message and "directly in the same directory" in message


def test_missing_shard_and_missing_tensor_and_duplicate(tmp_path):
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
def test_index_without_a_map(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "weight_map" in refusal(tmp_path)


def test_order_of_preference_in_a_directory(tmp_path):
    _, shards = sharded(tmp_path, "bin")
    assert read_checkpoint(tmp_path).tensors.keys() == shards.keys()
    save({"bin": seeded(1)}, tmp_path / "pytorch_model.bin")
    assert list(read_checkpoint(tmp_path).tensors) == ["bin"]
    sharded(tmp_path, "safetensors")
    assert read_checkpoint(tmp_path).tensors.keys() == shards.keys()
    assert read_checkpoint(tmp_path).paths[0].suffix == ".safetensors"
    save({"whole": seeded(1)}, tmp_path / "model.safetensors", "safetensors")
    assert list(read_checkpoint(tmp_path).tensors) == ["whole"]


def test_directory_without_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    message = refusal(tmp_path)
    assert all(name in message for name in readers.DIRECTORY_FILES)


# Files that are something else


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"these are\nweights, honestly", "it begins with b'these are\\nweigh"),
        (b"<!DOCTYPE html><html>", "is no checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
        (b"\x1f\x8b" + bytes(30), "is compressed"),
        (b"\x80\x04}\x94.", "is a pickle that torch.save did not write"),
        (b"\x80", "is damaged"),
        (b"PK\x03\x04" + bytes(100), "is damaged"),
        (b"\xff" * 8 + b"{", "is damaged"),
        (b"\x02" + bytes(7) + b"{}", "no tensors"),
    ],
)  # fmt: skip
def test_files_that_are_something_else(tmp_path, content, said):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert said in refusal(path)


def test_tar_missing_path_and_special_file(tmp_path):
    path = tmp_path / "old.pth.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    assert "tar archive" in refusal(path)
    assert "does not exist" in refusal(tmp_path / "none.pth")
    line_break = tmp_path / "two\nlines.pth"
    with pytest.raises(InputError, match=r"two\\nlines.pth' does not exist") as caught:
        read_checkpoint(line_break)
    assert "\n" not in str(caught.value)


def test_unreadable_file(tmp_path, monkeypatch, weights):
    path = save(weights, tmp_path / "x.pth")

    def deny(*args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", deny)
    assert "cannot be read: Permission denied" in refusal(path)


def test_torchscript_and_foreign_zip(tmp_path):
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
def test_checkpoint_without_named_tensors(tmp_path, format, value):
    assert "hold" in refusal(save(value, tmp_path / "x.pth", format))


@pytest.mark.parametrize("format", ["zip", "safetensors"])
def test_float8_is_named(tmp_path, format):
    path = save({"w": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x.pth", format)
    message = refusal(path)
    assert "'w' as f" in message.lower() and "e4m3" in message.lower()


def test_safetensors_not_installed(tmp_path, monkeypatch, weights):
    path = save(weights, tmp_path / "x.safetensors", "safetensors")
    zipped = save(weights, tmp_path / "x.pth")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"keras-poolformer\[keras\]"):
        read_checkpoint(path)
    assert_same_tensors(read_checkpoint(zipped), weights)


# Damage


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_anywhere(tmp_path, format, weights):
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


def test_a_flipped_bit_in_a_zip_never_changes_a_value(tmp_path, weights):
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
def test_a_flipped_bit_elsewhere_raises_nothing_but_input_errors(tmp_path, format, weights):
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


def test_zip_with_doctored_parts(tmp_path, weights):
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


# JSON


def test_read_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a": [1, 2.5, null, "ä"]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no valid JSON"),
        (b"{'a': 1}", "no valid JSON"),
        (b"[1]", "Received: list"),
        (b"null", "Received: NoneType"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": "\xff"}', "no valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no valid JSON"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 2**21 + b'"}', "bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_read_json_refuses(tmp_path, content, said):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    assert said in refusal(path, read=read_json, max_bytes=2**21)


def test_read_json_of_no_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "config.json", read=read_json)
    assert "not a regular file" in refusal(tmp_path, read=read_json)
