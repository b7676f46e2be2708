"""Strict loading: what arrives, and what is refused."""

import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
)
from tests.helpers import error_line, randomized_module

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

CONFIG = PoolFormerConfig(depths=(1, 2), widths=(8, 12), num_classes=3)
HWIO = (2, 3, 1, 0)


@pytest.fixture
def state():
    """A state dict in sail-sg's names."""
    module = randomized_module(oracles.build_oracle(CONFIG, "hf").module)
    return {oracles.sail_name(name): value for name, value in module.state_dict().items()}


@pytest.fixture
def saved(state, tmp_path):
    """A function that saves the state dict, after an edit."""

    def save(**edits):
        edited = {**state, **edits}
        kept = {name: value for name, value in edited.items() if value is not None}
        torch.save(kept, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return save


def values(model):
    return {v.path: v.numpy() for v in model.variables if "seed" not in v.path}


def test_report_says_what_was_loaded(saved):
    model = PoolFormerImageClassifier(CONFIG)
    report = load_torch_weights(model, saved())
    assert report.to_dict() | {"sha256": ""} == {
        "source": "weights.pth", "sha256": "", "layout": "sail", "head": "norm_pool",
        "wrapper": "", "dtype": "float32", "tensors": len(model.variables),
        "parameters": model.count_params(), "new_tensors": [], "unused_tensors": [],
        "prefix": "", "ignored_tensors": [], "assumed": {},
    }  # fmt: skip
    assert report.sha256 in str(report)
    assert dict(model.provenance) == report.to_dict()


def test_every_tensor_arrives_in_its_place(saved, state):
    """Convolutions (O, I, H, W) become (H, W, I, O), linear (O, I) becomes (I, O)."""
    model = PoolFormerImageClassifier(CONFIG)
    load_torch_weights(model, saved())
    received = values(model)
    expected = {
        "stages_0_embedding/projection/kernel": state["patch_embed.proj.weight"].permute(*HWIO),
        "stages_1_embedding/projection/bias": state["network.1.proj.bias"],
        "stages_1_blocks_1/norm1/gamma": state["network.2.1.norm1.weight"],
        "stages_1_blocks_1/norm2/beta": state["network.2.1.norm2.bias"],
        "stages_1_blocks_0/mlp/fc2/kernel": state["network.2.0.mlp.fc2.weight"].permute(*HWIO),
        "stages_0_blocks_0/layer_scale2/gamma": state["network.0.0.layer_scale_2"],
        "head_norm/gamma": state["norm.weight"],
        "head/kernel": state["head.weight"].T,
    }  # fmt: skip
    for path, tensor in expected.items():
        assert np.array_equal(received[path], tensor.numpy()), path


def refused(model, path, **arguments):
    before = values(model)
    message = error_line(load_torch_weights, model, path, **arguments)
    after = values(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    return message


@pytest.mark.first(4)
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"network.2.1.mlp.fc2.bias": None}, ["lacks network.2.1.mlp.fc2.bias"]),
        ({"network.2.2.norm1.bias": torch.ones(12)}, ["holds network.2.2.norm1.bias"]),
        ({"head.weight": torch.ones(3, 13)}, ["head.weight", "(3, 12)", "(3, 13)"]),
        ({"norm.bias": torch.ones(12, 1)}, ["norm.bias", "(12,)", "(12, 1)"]),
        ({"norm.bias": torch.full((12,), torch.nan)}, ["norm.bias", "nan"]),
        ({"head.bias": torch.tensor([0, -torch.inf, 0])}, ["head.bias", "inf"]),
        ({"head.bias": torch.tensor([0, 3e36, 0])}, ["head.bias", "3e+36", "corrupt"]),
        ({"norm.bias": torch.ones(12, dtype=torch.int64)}, ["norm.bias", "int64"]),
        ({"head.extra": torch.ones(1)}, ["holds head.extra"]),
    ],
    ids=["missing", "extra", "misshaped", "rank", "nan", "infinite", "flipped", "integer", "head"],
)
def test_a_wrong_tensor_is_named_and_nothing_is_assigned(saved, edit, words):
    message = refused(PoolFormerImageClassifier(CONFIG), saved(**edit))
    assert all(word in message for word in words), message


def test_the_wrong_layout_is_refused(saved):
    model = PoolFormerImageClassifier(CONFIG)
    assert "(layout hf) lacks classifier.bias" in refused(model, saved(), layout="hf")
    assert "one of sail, timm, hf" in refused(model, saved(), layout="keras")


def test_a_backbone_takes_the_backbone_and_leaves_the_head(saved, state):
    backbone = PoolFormerBackbone(CONFIG)
    report = load_torch_weights(backbone, saved())
    assert report.unused_tensors == ("head.bias", "head.weight", "norm.bias", "norm.weight")
    assert report.tensors == len(backbone.variables)
    classifier = PoolFormerImageClassifier(CONFIG)
    assert "lacks head.bias, head.weight" in refused(
        classifier, saved(**{name: None for name in state if name.startswith("head.")})
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_exactly(saved, state, dtype):
    cast = {name: tensor.to(dtype) for name, tensor in state.items()}
    model = PoolFormerImageClassifier(CONFIG)
    report = load_torch_weights(model, saved(**cast))
    assert report.dtype == str(dtype).removeprefix("torch.")
    expected = cast["head.weight"].float().numpy().T
    assert np.array_equal(values(model)["head/kernel"], expected)
