"""Tensors out of checkpoint files, against torch itself: every value, bit by bit."""

import collections

import numpy as np
import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint

torch = pytest.importorskip("torch")

FORMATS = ("zip", "legacy", "safetensors")
ALL_DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_every_dtype_is_exact(tmp_path, format, dtype, seeded, save, assert_same_tensors):
    tensors = {"a": (seeded(4, 5) * 3).abs().to(dtype), "b": torch.ones(2, dtype=dtype)}
    path = save(tensors, tmp_path / "x.pth", format)
    assert_same_tensors(read_checkpoint(path), tensors)


@pytest.mark.parametrize("format", FORMATS)
def test_special_values_keep_their_bits(tmp_path, format, save, assert_same):
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
def test_strides_offsets_and_shared_storages(
    tmp_path, format, dtype, seeded, save, assert_same_tensors
):
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


def test_safetensors_shapes(tmp_path, seeded, save, assert_same_tensors):
    tensors = {"scalar": torch.tensor(2.5), "empty": torch.empty(3, 0), "b": seeded(2).bfloat16()}
    path = save(tensors, tmp_path / "no_suffix", "safetensors")
    assert_same_tensors(read_checkpoint(path), tensors)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_pickle_protocols(tmp_path, format, protocol, weights, save, assert_same_tensors):
    path = save(weights, tmp_path / "x.pth", format, pickle_protocol=protocol)
    assert_same_tensors(read_checkpoint(path), weights)


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_state_dict_of_a_module_with_metadata(tmp_path, format, save, assert_same_tensors):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = model.state_dict()
    assert isinstance(state, collections.OrderedDict) and hasattr(state, "_metadata")
    checkpoint = read_checkpoint(save(state, tmp_path / "x.pth", format))
    count = state.pop("1.num_batches_tracked")
    assert_same_tensors(checkpoint, state)
    assert list(checkpoint.tensors) == list(state)
    assert checkpoint.batch_count == count == 0


def test_parameters_with_attributes(tmp_path, seeded, assert_same_tensors, save):
    parameter = torch.nn.Parameter(seeded(3))
    parameter.note = "kept beside"
    assert_same_tensors(
        read_checkpoint(save({"p": parameter}, tmp_path / "x.pth")), {"p": parameter}
    )


@pytest.mark.parametrize("big_endian", [False, True])
def test_byte_order(tmp_path, big_endian, seeded, save, rezipped, assert_same_tensors):
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
