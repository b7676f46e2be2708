"""Each layer against PyTorch's, on random weights; and what Keras asks of a layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer.config_fields import ACTIVATIONS
from keras_poolformer.models.blocks import PoolFormerBlock
from keras_poolformer.models.layers import LayerScale, Mlp, PatchEmbedding, make_norm
from keras_poolformer.models.pixelwise import pixelwise
from keras_poolformer.models.random_layers import DropPath
from keras_poolformer.models.token_mixers import Pooling
from tests.helpers import TOLERANCE, relative_error

torch = pytest.importorskip("torch")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def to_torch(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def from_torch(images):
    return images.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("side", [32, 33, 35])
@pytest.mark.parametrize(("size", "stride", "padding"), [(7, 4, 2), (3, 2, 1), (5, 3, 0)])
def test_patch_embedding_pads_as_pytorch_does(side, size, stride, padding):
    images = random(2, side, side + 2, 3)
    layer = PatchEmbedding(8, size, stride, padding)
    layer.build(images.shape)
    kernel, bias = random(size, size, 3, 8, seed=1), random(8, seed=2)
    layer.projection.set_weights([kernel, bias])
    weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.conv2d(
        to_torch(images), weight, torch.from_numpy(bias), stride, padding
    )
    assert relative_error(layer(images), from_torch(expected)) < TOLERANCE
    assert layer.compute_output_shape(images.shape) == tuple(from_torch(expected).shape)


def test_patch_embedding_starts_as_pytorchs_convolutions_do():
    layer = PatchEmbedding(256, 7, 4, 2)
    layer.build((None, None, None, 3))
    kernel, bias = (keras.ops.convert_to_numpy(one) for one in layer.weights)
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(3, 256, 7)
    assert abs(kernel).max() <= theirs.weight.abs().max() * 1.001
    assert kernel.std() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert bias.std() == pytest.approx(theirs.bias.std().item(), rel=0.2)


@pytest.mark.parametrize("pool_size", [1, 3, 5])
def test_pooling(pool_size):
    images = random(2, 7, 10, 4)
    pool = torch.nn.AvgPool2d(pool_size, 1, pool_size // 2, count_include_pad=False)
    expected = from_torch(pool(to_torch(images)) - to_torch(images))
    assert np.allclose(Pooling(pool_size)(images), expected, atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
def test_pixelwise_and_its_gradients_are_a_convolutions(use_bias):
    images, upstream = random(2, 4, 5, 6), random(2, 4, 5, 8, seed=1)
    layer = pixelwise(8, "x", use_bias)
    layer.build((None, None, None, 6))
    layer.set_weights([random(*one.shape, seed=i + 2) for i, one in enumerate(layer.weights)])
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    weights = [one.value for one in layer.weights]
    gradients = tape.gradient(outputs, [inputs, *weights], output_gradients=upstream)

    theirs = torch.nn.Conv2d(6, 8, 1, bias=use_bias)
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), layer.get_weights(), strict=True):
            value = value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value
            parameter.copy_(torch.from_numpy(value))
    pixels = to_torch(images).requires_grad_()
    expected = theirs(pixels)
    expected.backward(to_torch(upstream))
    assert relative_error(outputs, from_torch(expected)) < TOLERANCE
    assert relative_error(gradients[0], from_torch(pixels.grad)) < TOLERANCE
    kernel = theirs.weight.grad.numpy().transpose(2, 3, 1, 0)
    assert relative_error(gradients[1], kernel) < TOLERANCE
    if use_bias:
        assert relative_error(gradients[2], theirs.bias.grad.numpy()) < TOLERANCE


def test_group_norm_has_pytorchs_epsilon():
    images = 0.01 * random(2, 6, 5, 8)  # so small that epsilon counts
    expected = from_torch(torch.nn.GroupNorm(1, 8)(to_torch(images)))
    assert relative_error(make_norm("group_norm", "norm")(images), expected) < TOLERANCE


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "star_relu"])
def test_mlp(activation):
    images = random(2, 4, 5, 6)
    layer = Mlp(6, 24, activation)
    layer.build(images.shape)
    weights = [random(*one.shape, seed=i) for i, one in enumerate(layer.get_weights())]
    layer.set_weights(weights)
    theirs = {
        "gelu_10": lambda x: torch.nn.functional.gelu(x).clip(-10, 10),
        "gelu_tanh": torch.nn.GELU(approximate="tanh"),
        "hard_swish": torch.nn.Hardswish(),
        "gelu": torch.nn.GELU(),
        "leaky_relu": torch.nn.LeakyReLU(),
        "linear": torch.nn.Identity(),
        "silu": torch.nn.SiLU(),
        "mish": torch.nn.Mish(),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "relu2": lambda x: torch.relu(x) ** 2,
    }.get(activation) or getattr(torch, activation, None) or getattr(
        torch.nn.functional, activation
    )  # fmt: skip
    fc1, fc2 = torch.nn.Linear(6, 24), torch.nn.Linear(24, 6)
    with torch.no_grad():
        for linear, kernel, bias in ((fc1, *weights[:2]), (fc2, *weights[2:])):
            linear.weight.copy_(torch.from_numpy(kernel[0, 0].T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        expected = fc2(theirs(fc1(torch.from_numpy(images)))).numpy()
    assert relative_error(layer(images), expected) < TOLERANCE


def test_mlp_starts_normal_with_zero_biases():
    layer = Mlp(64, 256, initializer_range=0.05)
    layer.build((None, None, None, 64))
    kernel1, bias1, kernel2, bias2 = layer.get_weights()
    assert kernel1.std() == pytest.approx(0.05, rel=0.05)
    assert kernel2.std() == pytest.approx(0.05, rel=0.05)
    assert not bias1.any()
    assert not bias2.any()


def test_layer_scale_starts_at_its_initial_value():
    layer = LayerScale(1e-3)
    assert np.allclose(layer(np.ones((1, 2, 2, 3), "float32")), 1e-3)


class TestDropPath:
    images = np.ones((4000, 1, 1, 2), "float32")

    def test_drops_whole_images_and_keeps_the_mean(self):
        outputs = keras.ops.convert_to_numpy(DropPath(0.25, seed=1)(self.images, training=True))
        kept = outputs[:, 0, 0, 0]
        assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
        assert (outputs == kept[:, None, None, None]).all()
        assert kept.mean() == pytest.approx(1.0, abs=0.03)

    def test_is_nothing_at_inference_and_at_rate_0(self):
        assert (DropPath(0.5)(self.images, training=False) == self.images).numpy().all()
        layer = DropPath(0.0)
        assert (layer(self.images, training=True) == self.images).numpy().all()
        assert not layer.variables

    def test_each_call_and_each_layer_draws_its_own_mask(self):
        layer, other = DropPath(0.5, seed=1), DropPath(0.5, seed=2)
        draws = [np.asarray(one(self.images, training=True)) for one in (layer, layer, other)]
        assert not (draws[0] == draws[1]).all()
        assert not (draws[0] == draws[2]).all()
        again = np.asarray(DropPath(0.5, seed=1)(self.images, training=True))
        assert (draws[0] == again).all()

    def test_rate_holds_in_half_precision(self):
        layer = DropPath(0.3, seed=1, dtype="mixed_bfloat16")
        outputs = keras.ops.cast(layer(self.images, training=True), "float32")
        assert (np.asarray(outputs)[:, 0, 0, 0] == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_block_branches_can_be_dropped_alone():
    """At a rate near 1 both branches vanish and the block passes its input through."""
    block = PoolFormerBlock(4, 8, layer_scale_init=1.0, drop_path_rate=0.999)
    images = random(2, 4, 4, 4)
    assert np.array_equal(block(images, training=True), images)
    assert not np.array_equal(block(images, training=False), images)


@pytest.mark.parametrize(
    "layer",
    [
        PatchEmbedding(8, 3, 2, 1),
        Pooling(5),
        Mlp(4, 8, "relu", 0.1, 0.5),
        LayerScale(0.5),
        DropPath(0.1, seed=3),
        PoolFormerBlock(4, 8, 5, "relu", False, 0.5, 0.1, 0.2, 0.3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config_round_trip(layer):
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    images = random(1, 6, 6, 4)
    assert again(images).shape == layer.compute_output_shape(images.shape)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is type(layer)
