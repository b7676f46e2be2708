"""Each token mixer, and the second paper's other layers, beside timm's class of the same name."""

import keras
import numpy as np
import pytest

from keras_poolformer.models.activations import StarReLU
from keras_poolformer.models.layers import Mlp, make_norm
from keras_poolformer.models.token_mixers import Attention, RandomMixing, SepConv
from tests.helpers import relative_error

torch = pytest.importorskip("torch")
metaformer = pytest.importorskip("timm.models.metaformer")

PRECISE = 1e-14  # relative L2 error in float64; measured up to 5e-16
ROUNDED = 1e-6  # in float32; measured up to 3e-7


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def with_weights_of(module, layer, shape):
    """Gives both random weights; kernels are turned by hand, independently of the layouts."""
    layer.build((None, *shape[1:]))
    parameters = dict(module.named_parameters())
    for index, variable in enumerate(layer.weights):
        path = variable.path.replace("/", ".").replace("kernel", "weight")
        path = path.replace("gamma", "weight")
        name = next(name for name in parameters if f".{path}".endswith(f".{name}"))
        value = images(*parameters[name].shape, seed=index + 1)
        if value.size > 1:
            value = value * value[0].size ** -0.5
        with torch.no_grad():
            parameters[name].copy_(torch.from_numpy(value))
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if "dwconv" in name else (2, 3, 1, 0))
        elif value.ndim == 2:
            value = value.T[None, None]
        variable.assign(value)
    return module.eval()


def both(module, layer, inputs, channels_last=False):
    module = with_weights_of(module.double(), layer, inputs.shape)
    pixels = torch.from_numpy(inputs if channels_last else inputs.transpose(0, 3, 1, 2))
    with torch.no_grad():
        expected = module(pixels).numpy()
    return layer(inputs), expected if channels_last else expected.transpose(0, 2, 3, 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", PRECISE), ("float32", ROUNDED)])
@pytest.mark.parametrize("size", [(9, 7), (2, 3)], ids=str)
def test_sep_conv(size, dtype, tolerance):
    layer = SepConv(dtype=dtype, name="x")
    assert relative_error(*both(metaformer.SepConv(6), layer, images(2, *size, 6))) <= tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", PRECISE), ("float32", ROUNDED)])
def test_attention(dtype, tolerance):
    layer = Attention(dtype=dtype, name="x")
    inputs = images(2, 15, 96)  # (N, tokens, C), as timm has it

    class OnTokens(keras.layers.Layer):
        def build(self, shape):
            layer.build((None, 3, 5, 96))

        weights = property(lambda self: layer.weights)

        def __call__(self, tokens):
            return keras.ops.reshape(layer(tokens.reshape(2, 3, 5, 96)), (2, 15, 96))

    module = metaformer.Attention(96)
    assert relative_error(*both(module, OnTokens(), inputs, channels_last=True)) <= tolerance


@pytest.mark.parametrize("width", [20, 80])
def test_attention_of_other_widths(width):
    """Whole heads of 32 channels, at least one, as sail-sg has it; timm has no such layers."""
    heads = max(width // 32, 1)
    layer = Attention(dtype="float64", name="x")
    layer.build((None, None, None, width))
    qkv, proj = (images(*variable.shape, seed=i) for i, variable in enumerate(layer.weights))
    layer.set_weights([qkv, proj])
    inputs = images(2, 3, 4, width)
    tokens = torch.from_numpy(inputs.reshape(2, 12, width) @ qkv[0, 0])
    parts = tokens.reshape(2, 12, 3, heads, 32).permute(2, 0, 3, 1, 4)
    mixed = torch.nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2)
    expected = mixed.reshape(2, 3, 4, heads * 32).numpy() @ proj[0, 0]
    assert relative_error(layer(inputs), expected) <= PRECISE


def test_random_mixing():
    layer = RandomMixing(12, dtype="float64")
    inputs = images(2, 3, 4, 5)
    layer.build(inputs.shape)
    matrix = keras.ops.convert_to_numpy(layer.random_matrix)
    # A softmax of numbers from 0 to 1: between exp(-1) and exp(1) times the average.
    assert np.allclose(matrix.sum(axis=-1), 1) and layer.trainable_weights == []
    assert np.exp(-1) / 12 < matrix.min() < matrix.max() < np.exp(1) / 12
    expected = np.einsum("mn,bnc->bmc", matrix, inputs.reshape(2, 12, 5)).reshape(inputs.shape)
    assert relative_error(layer(inputs), expected) <= PRECISE


def test_star_relu():
    layer = StarReLU(dtype="float64", name="x")
    received, expected = both(metaformer.StarReLU(), layer, images(2, 3, 4, 5))
    assert relative_error(received, expected) <= PRECISE


def test_mlp_without_biases():
    layer = Mlp(6, 24, "star_relu", use_bias=False, dtype="float64", name="x")
    options = {"act_layer": metaformer.StarReLU, "bias": False, "use_conv": True}
    module = metaformer.Mlp(6, 24, **options)
    assert relative_error(*both(module, layer, images(2, 3, 4, 6))) <= PRECISE


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("group_norm", lambda: metaformer.GroupNorm1NoBias(6, eps=1e-6)),
        ("layer_norm", lambda: metaformer.LayerNorm2dNoBias(6, eps=1e-6)),
    ],
)
def test_norms_without_bias(kind, module):
    layer = make_norm(kind, "x", "float64", epsilon=1e-6, use_bias=False)
    inputs = images(2, 3, 4, 6) * 1e-3  # small, so that the epsilon matters
    assert relative_error(*both(module(), layer, inputs)) <= PRECISE


def test_attention_needs_no_size():
    inputs = keras.Input((None, None, 64))
    model = keras.Model(inputs, Attention()(inputs))
    for size in ((3, 5), (7, 2)):
        assert model.predict(images(1, *size, 64), verbose=0).shape == (1, *size, 64)
