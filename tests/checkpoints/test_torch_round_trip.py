"""Bit by bit: from layout to layout and back, in single and in half precision."""

import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import randomized_module

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

TINY = PoolFormerConfig(depths=(1, 2), widths=(8, 12), num_classes=3)
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
WAY = ("timm", "hf", "sail")


def sail_state(config, dtype=torch.float32):
    """A randomised state dict in the authors' names, from transformers' class."""
    module = randomized_module(oracles.build_oracle(config, "hf").module)
    state = module.state_dict()
    return {oracles.sail_name(name): tensor.to(dtype) for name, tensor in state.items()}


def assert_same(state, path):
    """That a file holds these very bits, under these very names."""
    received = safetensors_torch.load_file(path)
    assert received.keys() == state.keys()
    for name, tensor in state.items():
        assert received[name].dtype == tensor.dtype, name
        bits = torch.int16 if tensor.element_size() == 2 else torch.int32
        assert torch.equal(received[name].view(bits), tensor.view(bits)), name


def variants():
    """Every variant in every precision; what takes more than some seconds is marked."""
    for name in (name for name, config in VARIANTS.items() if not config.embedding_norm):
        for dtype in (torch.float32, *HALVES.values()):
            fast = name == "poolformer_s12"
            yield pytest.param(name, dtype, marks=[] if fast else pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), list(variants()))
def test_from_sail_by_way_of_timm_and_transformers(name, dtype, tmp_path):
    """sail -> Keras -> timm -> Keras -> hf -> Keras -> sail."""
    state = sail_state(VARIANTS[name], dtype)
    path = tmp_path / "source.pth"
    torch.save(state, path)
    for layout in WAY:
        model = PoolFormerImageClassifier.from_preset(path)
        path = tmp_path / f"{layout}.safetensors"
        report = save_torch_weights(model, path, layout=layout, allow_other_head=True)
        assert report.dtype == str(dtype).removeprefix("torch.")
        assert report.tensors == len(state)
    assert_same(state, tmp_path / "sail.safetensors")


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", ["directories", "keras files"])
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_leaves_as_it_came(dtype, kind, tmp_path):
    state = sail_state(TINY, HALVES[dtype])
    path = tmp_path / "source.safetensors"
    safetensors_torch.save_file(state, path)
    for layout in WAY:
        model = PoolFormerImageClassifier.from_preset(path)
        if kind == "keras files":
            model.save(tmp_path / f"{layout}.keras")
            model = PoolFormerImageClassifier.from_preset(tmp_path / f"{layout}.keras")
        path = tmp_path / layout
        report = save_torch_weights(model, path, layout=layout, allow_other_head=True)
        assert report.dtype == dtype
    assert report.logits_equal
    assert_same(state, tmp_path / "sail/model.safetensors")


@pytest.mark.parametrize("dtype", HALVES)
def test_transformers_reads_half_precision(dtype, tmp_path):
    """config.json says so, and transformers makes its model of that dtype."""
    from transformers import PoolFormerForImageClassification

    safetensors_torch.save_file(sail_state(TINY, HALVES[dtype]), tmp_path / "x.safetensors")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "x.safetensors")
    save_torch_weights(model, tmp_path / "hf", layout="hf")
    theirs = PoolFormerForImageClassification.from_pretrained(tmp_path / "hf")
    assert {parameter.dtype for parameter in theirs.parameters()} == {HALVES[dtype]}
    expected = safetensors_torch.load_file(tmp_path / "x.safetensors")["norm.weight"]
    assert torch.equal(theirs.norm.weight, expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("step", [1e-7, 1e6])
def test_weights_that_changed_leave_in_single_precision(dtype, step, tmp_path):
    """One weight off by a little, or too large for float16, is enough."""
    safetensors_torch.save_file(sail_state(TINY, HALVES[dtype]), tmp_path / "x.safetensors")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "x.safetensors")
    kernel = model.head.kernel.numpy()
    kernel[0, 0] += step
    model.head.kernel.assign(kernel)
    report = save_torch_weights(model, tmp_path / "out.safetensors")
    assert (report.dtype, report.logits_equal) == ("float32", True)
    assert f"loaded in {dtype}" in str(report) and "head.weight and 0 other" in str(report)
    received = safetensors_torch.load_file(tmp_path / "out.safetensors")["head.weight"]
    np.testing.assert_array_equal(received.numpy(), kernel.T)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_on_demand_is_torchs_rounding(dtype, tmp_path):
    state = sail_state(TINY)
    safetensors_torch.save_file(state, tmp_path / "x.safetensors")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "x.safetensors")
    report = save_torch_weights(model, tmp_path / "out.safetensors", dtype=dtype)
    assert (report.dtype, report.logits_equal) == (dtype, False)
    assert f"rounded to {dtype}" in str(report)
    rounded = {name: tensor.to(HALVES[dtype]) for name, tensor in state.items()}
    assert_same(rounded, tmp_path / "out.safetensors")

    half = PoolFormerImageClassifier.from_preset(tmp_path / "out.safetensors")
    report = save_torch_weights(half, tmp_path / "single.safetensors", dtype="float32")
    assert (report.dtype, report.logits_equal, report.notes) == ("float32", True, ())
    single = {name: tensor.float() for name, tensor in rounded.items()}
    assert_same(single, tmp_path / "single.safetensors")


@pytest.mark.parametrize("value", [1e5, np.nan, -np.inf])
def test_what_does_not_fit_is_refused(value, tmp_path):
    model = PoolFormerImageClassifier(TINY)
    model.head.bias.assign(np.full(3, value))
    with pytest.raises(InputError, match=r"head\.bias must hold .* finite in float16"):
        save_torch_weights(model, tmp_path / "x.safetensors", dtype="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_that_computes_in_half_precision(dtype, tmp_path):
    """Each variable in its own dtype: the head computes in float32."""
    model = PoolFormerImageClassifier(TINY, dtype=dtype)
    report = save_torch_weights(model, tmp_path / "x.safetensors")
    assert report.dtype == f"{dtype}, float32" and report.logits_equal
    again = PoolFormerImageClassifier(TINY, dtype=dtype)
    load_torch_weights(again, tmp_path / "x.safetensors")
    for one, other in zip(model.weights, again.weights, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
