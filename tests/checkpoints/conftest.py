"""What the tests of checkpoint files share: writing them, doctoring them, comparing with torch."""

import pickle
import zipfile

import numpy as np
import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from tests.helpers import error_line


@pytest.fixture(scope="session")
def seeded():
    """seeded(*shape): random numbers, the same every time."""
    torch = pytest.importorskip("torch")

    def seeded(*shape, dtype=torch.float32):
        generator = torch.Generator().manual_seed(len(shape) + sum(shape))
        return torch.randn(*shape, generator=generator).to(dtype)

    return seeded


@pytest.fixture
def weights(seeded):
    return {"conv.weight": seeded(3, 2, 2, 2), "conv.bias": seeded(3), "scale": seeded(1)}


@pytest.fixture(scope="session")
def save():
    """save(value, path): writes a file in a format of PyTorch or of safetensors."""
    torch = pytest.importorskip("torch")
    safetensors_torch = pytest.importorskip("safetensors.torch")

    def save(value, path, format="zip", **options):
        if format == "safetensors":
            safetensors_torch.save_file(value, path)
        else:
            torch.save(value, path, _use_new_zipfile_serialization=format == "zip", **options)
        return path

    return save


@pytest.fixture(scope="session")
def assert_same():
    """Compares an array with a tensor bit by bit; bfloat16 as the same values in float32."""
    torch = pytest.importorskip("torch")

    def assert_same(array, tensor):
        tensor = tensor.detach()
        expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        assert array.dtype == expected.dtype
        assert array.shape == expected.shape
        assert array.flags.c_contiguous
        assert array.tobytes() == expected.tobytes()

    return assert_same


@pytest.fixture(scope="session")
def assert_same_tensors(assert_same):
    """Compares what was read from a checkpoint with {name: tensor}."""

    def assert_same_tensors(checkpoint, tensors):
        assert list(checkpoint.tensors) == list(checkpoint.dtypes)
        assert set(checkpoint.tensors) == set(tensors)
        for name, tensor in tensors.items():
            assert_same(checkpoint.tensors[name], tensor)
            assert checkpoint.dtypes[name] == str(tensor.dtype).removeprefix("torch.")

    return assert_same_tensors


@pytest.fixture(scope="session")
def refusal():
    """refusal(path): the message, one line that names the file."""
    return _refusal


def _refusal(path, read=read_checkpoint, **options):
    message = error_line(read, path, **options)
    assert path.name in message
    return message


@pytest.fixture(scope="session")
def rezipped():
    """rezipped(source, target, change): a copy of an archive with changed entries."""
    return _rezipped


def _rezipped(source, target, change, compression=zipfile.ZIP_STORED):
    """`change(name, data)` gives an entry's new bytes, None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.fixture(scope="session")
def archive():
    """archive(path, stream): a file in the zip format with this pickle in it."""
    return _archive


def _archive(path, stream, values=(1, 2, 3, 4)):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", stream)
        file.writestr("x/data/0", np.array(values, "<f4").tobytes())
    return path


def _legacy(path, stream):
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    path.write_bytes(b"".join(head) + stream + pickle.dumps([], 2))
    return path


@pytest.fixture(params=[_archive, _legacy], ids=["zip", "legacy"])
def container(request):
    """container(path, stream): a file with this pickle, in each format that holds one."""
    return request.param
