"""A first convolution for other image channels, against timm's own function."""

import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
)
from keras_poolformer.checkpoints.stem import adapt_stem
from keras_poolformer.support.errors import InputError
from tests.helpers import randomized_module

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

from timm.models._manipulate import adapt_input_conv  # noqa: E402

CONFIG = PoolFormerConfig(depths=(1, 1), widths=(8, 12), num_classes=3)
STEM = "stages_0_embedding/projection/kernel"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("channels", range(1, 14))
def test_timms_function_bit_for_bit(channels, dtype):
    kernel = np.random.default_rng(channels).standard_normal((64, 3, 7, 7)).astype(dtype)
    expected = adapt_input_conv(channels, torch.from_numpy(kernel.copy())).numpy()
    received = adapt_stem(kernel, channels)
    assert received.dtype == expected.dtype
    np.testing.assert_array_equal(received, expected)


def test_the_way_back_from_four_channels():
    kernel = np.random.default_rng(0).standard_normal((8, 4, 3, 3), np.float32)
    expected = adapt_input_conv(3, torch.from_numpy(kernel.copy()), base_chans=4).numpy()
    np.testing.assert_array_equal(adapt_stem(kernel, 3), expected)


@pytest.fixture(scope="module", params=["sail", "timm", "hf", "keras"])
def source(request, tmp_path_factory):
    """(a checkpoint, PyTorch's kernel of its stem)."""
    folder = tmp_path_factory.mktemp("weights")
    oracle = oracles.build_oracle(CONFIG, "hf" if request.param == "keras" else request.param)
    module = randomized_module(oracle.module)
    ours = {theirs: name for name, theirs in oracle.names.items()}
    state = {ours.get(name, name): one for name, one in module.state_dict().items()}
    torch.save(state, folder / "weights.pth")
    kernel = next(one for one in state.values() if one.shape[1:] == (3, 7, 7))
    if request.param != "keras":
        return folder / "weights.pth", kernel
    PoolFormerImageClassifier.from_preset(folder / "weights.pth").save(folder / "x.keras")
    return folder / "x.keras", kernel


@pytest.mark.first(3)
@pytest.mark.parametrize("channels", [1, 5])
def test_a_preset_for_other_channels(source, channels):
    path, kernel = source
    model = PoolFormerImageClassifier.from_preset(path, in_channels=channels)
    expected = adapt_input_conv(channels, kernel).permute(2, 3, 1, 0).numpy()
    values = {variable.path: variable.numpy() for variable in model.weights}
    np.testing.assert_array_equal(values.pop(STEM), expected)
    original = PoolFormerImageClassifier.from_preset(path)
    others = {variable.path: variable.numpy() for variable in original.weights}
    assert all(np.array_equal(value, others[name]) for name, value in values.items())
    assert model.provenance["adapted_tensors"] == [STEM]
    assert "adapted_tensors" not in original.provenance


def test_timms_network_with_one_channel(images, tmp_path):
    """The whole network, with the stem that timm would give it."""
    torch.save(
        randomized_module(oracles.build_oracle(CONFIG, "timm").module).state_dict(), tmp_path / "x"
    )
    module = oracles.build_oracle(CONFIG.replace(in_channels=1), "timm").module
    state = torch.load(tmp_path / "x")
    state["stem.conv.weight"] = adapt_input_conv(1, state["stem.conv.weight"])
    module.load_state_dict(state, strict=True)
    gray = images.mean(-1, keepdims=True)
    with torch.inference_mode():
        expected = module(torch.from_numpy(gray.transpose(0, 3, 1, 2).copy())).numpy()
    model = PoolFormerImageClassifier.from_preset(tmp_path / "x", in_channels=1)
    error = np.linalg.norm(model(gray) - expected) / np.linalg.norm(expected)
    assert error <= 2e-6  # measured 4e-7


def test_one_channel_sees_what_three_alike_show(images, tmp_path):
    torch.save(
        randomized_module(oracles.build_oracle(CONFIG, "hf").module).state_dict(), tmp_path / "x"
    )
    gray = images.mean(-1, keepdims=True)
    expected = PoolFormerImageClassifier.from_preset(tmp_path / "x")(np.repeat(gray, 3, -1))
    received = PoolFormerImageClassifier.from_preset(tmp_path / "x", in_channels=1)(gray)
    error = np.linalg.norm(received - expected) / np.linalg.norm(expected)
    assert error <= 5e-6  # sums in another order; measured 4e-7


def test_loading_into_a_model_that_exists_stays_strict(tmp_path):
    torch.save(oracles.build_oracle(CONFIG, "sail").module.state_dict(), tmp_path / "x")
    model = PoolFormerImageClassifier(CONFIG.replace(in_channels=1))
    with pytest.raises(InputError, match=r"must have shape \(8, 1, 7, 7\)"):
        load_torch_weights(model, tmp_path / "x")
