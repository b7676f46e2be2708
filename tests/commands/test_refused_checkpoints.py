"""Whole checkpoints and options that do not fit: the message names what is wrong."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def saved(state, folder):
    torch.save(state, folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "name",
    [
        "patch_embed.proj.weight",
        "network.1.proj.bias",
        "network.0.0.norm1.weight",
        "network.2.0.mlp.fc1.weight",
        "network.6.0.layer_scale_2",
        "norm.bias",
        "head.weight",
        "head.bias",
    ],
)
def test_a_missing_tensor_is_named(name, state, tmp_path, convert_refusal):
    rest = {key: value for key, value in state.items() if key != name}
    assert name in convert_refusal(saved(rest, tmp_path))


@pytest.mark.parametrize("name", ["extra.weight", "network.0.0.layer_scale_3", "network.6.3.foo"])
def test_an_extra_tensor_is_named(name, state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {name: torch.ones(8)}, tmp_path))
    assert name in message or "network.6.1.norm1.weight" in message  # depth 4, says the name


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("patch_embed.proj.bias", (9,)),
        ("network.1.proj.weight", (8, 8, 3, 5)),
        ("network.3.proj.weight", (16, 9, 3, 3)),
        ("network.2.0.norm2.weight", (8, 1)),
        ("network.4.0.mlp.fc2.weight", (64, 16, 1, 1)),
        ("network.0.0.layer_scale_1", ()),
        ("head.weight", (3, 17)),
        ("head.bias", (4,)),
    ],
)
def test_a_misshaped_tensor_is_named(name, shape, state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {name: torch.ones(shape)}, tmp_path))
    assert name in message and str(shape) in message


@pytest.mark.first(3)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["patch_embed.proj.weight", "network.4.0.norm1.bias", "head.bias"])
def test_weights_that_are_not_finite_are_named(name, value, state, tmp_path, convert_refusal):
    damaged = state[name].clone()
    damaged.view(-1)[-1] = value
    message = convert_refusal(saved(state | {name: damaged}, tmp_path))
    assert f"{name} must hold finite weights" in message


def test_integer_weights_are_named(state, tmp_path, convert_refusal):
    message = convert_refusal(saved(state | {"head.bias": torch.arange(3)}, tmp_path))
    assert "head.bias must hold floating-point numbers" in message


def test_layouts_that_do_not_fit(files, tmp_path, convert_refusal):
    message = convert_refusal(files / "tiny.pth.tar", "--layout", "foo")
    assert "sail, timm, hf" in message and "'foo'" in message
    assert "stem.conv.weight" in convert_refusal(files / "tiny.pth.tar", "--layout", "timm")
    other = {"conv1.weight": torch.ones(64, 3, 7, 7), "layer1.0.bn1.weight": torch.ones(64)}
    message = convert_refusal(saved(other, tmp_path))
    assert "not a MetaFormer in a known layout" in message and "conv1.weight" in message


def test_sources_that_are_not_there(tmp_path, convert_refusal):
    assert "nosuch.pth is neither a file" in convert_refusal(tmp_path / "nosuch.pth")
    assert "directory without weights" in convert_refusal(tmp_path)
    assert "Did you mean 'poolformer_s12_in1k'?" in convert_refusal("poolformer_s12_in22k")


def test_weights_that_cannot_be_downloaded_say_where(convert_refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    message = convert_refusal("poolformer_s12")
    assert "releases/download/v1.0/poolformer_s12.pth.tar" in message
    assert str(tmp_path / "models/keras_poolformer/poolformer_s12.pth.tar") in message


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--head", "foo", "norm_pool, pool_norm"),
        ("--activation", "foo", "gelu"),
        ("--pool-size", "4", "odd"),
        ("--pool-size", "-3", "from 1"),
        ("--num-classes", "-1", "from 0"),
    ],
)
def test_options_out_of_bounds(option, value, says, files, convert_refusal):
    assert says in convert_refusal(files / "tiny.pth.tar", option, value)
