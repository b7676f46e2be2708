"""Odd but honest pickles: what training scripts keep, and the lists of PyTorch 0.3."""

import argparse
import collections
import io
import pathlib
import pickle
import struct

import numpy as np
import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_training_scripts_keep_beside_the_weights(tmp_path, zipped, protocol):
    options = argparse.Namespace(
        device=torch.device("cuda:0"),
        shape=torch.Size([1, 2]),
        dtype=torch.bfloat16,
        layout=torch.strided,
        here=pathlib.Path("runs") / "a",
        there=pathlib.PureWindowsPath("c:/runs"),
        best_metric=np.float64(1.5),
        step=np.int64(3),
        raw=b"a\xff",
        array=np.arange(4),
        names={"a", "b"},
        frozen=frozenset([1, 2]),
        counts=collections.Counter("aab"),
        default=collections.defaultdict(list, {1: [2]}),
        number=1 + 2j,
        part=slice(1, 2),
    )
    weights = collections.OrderedDict(w=torch.ones(2))
    value = {
        "args": options, "state_dict": weights, "best_metric": np.float64(1.5),
        (1, 2): "key", 2: "key", np.float64(3): "key",
        "storage": torch.ones(2).untyped_storage(), "random": torch.get_rng_state(),
        "big": 1 << 300, "small": -5, "ratio": 0.5, "flags": [True, False, None],
    }  # fmt: skip
    value["cycle"] = value
    path = tmp_path / "x.pth.tar"
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    checkpoint = read_checkpoint(path)
    assert checkpoint.wrapper == "state_dict"
    assert checkpoint.tensors["w"].tolist() == [1, 1]
    assert list(checkpoint.tensors) == ["w"]


def legacy_file(path, view, numel=6, length=6, keys=("k",), key="k"):
    """A file with a view of a storage, as PyTorch 0.3 wrote it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, torch.UntypedStorage):
                return ("storage", torch.FloatStorage, key, "cpu", numel, view)
            return None

    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(part, stream, 2)

    class Tensor:
        def __reduce__(self):
            place = torch.ones(1).untyped_storage()
            return torch._utils._rebuild_tensor_v2, (place, 1, (2,), (1,), False, None)

    Pickler(stream, 2).dump({"w": Tensor()})
    pickle.dump(list(keys), stream, 2)
    stream.write(struct.pack("<q", length) + np.arange(6, dtype="<f4").tobytes())
    path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize("view", [None, ("v", 2, 3)])
def test_legacy_views_of_storages(tmp_path, view):
    path = legacy_file(tmp_path / "x.pth", view)
    expected = torch.load(path, weights_only=True)["w"]
    assert read_checkpoint(path).tensors["w"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"view": ("v", 2, 5)},
        {"view": ("v", 2, 2)},
        {"view": ("v", -1, 3)},
        {"view": 3},
        {"view": None, "length": 5},
        {"view": None, "length": -1},
        {"view": None, "numel": 2**40, "length": 2**40},
        {"view": None, "keys": ()},
        {"view": None, "keys": ("k", "k")},
        {"view": None, "keys": ("other",)},
        {"view": None, "keys": (3,)},
        {"view": None, "key": 3},
    ],
    ids=str,
)
def test_legacy_lists_that_lie(tmp_path, changes, refusal):
    refusal(legacy_file(tmp_path / "x.pth", **changes))
