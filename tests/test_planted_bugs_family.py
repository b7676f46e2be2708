"""The parity check can fail for the second paper's networks: each bug a port may have is planted.

In float64, where a correct port has an error of 1e-15; each bug has one that the check in float32
sees too. All weights are random: fresh scales of 1 and biases of 0 would hide most of them.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_poolformer import MetaFormerImageClassifier
from keras_poolformer.models import activations, blocks, layers, token_mixers
from tests.helpers import MIXED, MIXED_GROUP_NORMS, randomized_module, relative_error

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

TOLERANCE = 1e-10
SEEN_IN_FLOAT32 = 4e-6
NETWORKS = {"mixed": MIXED, "mixed group norms": MIXED_GROUP_NORMS}


def no_res_scale(monkeypatch):
    monkeypatch.setattr(layers.LayerScale, "call", lambda self, inputs: inputs)


def no_scale_in_star_relu(monkeypatch):
    def call(self, inputs):
        return ops.square(ops.relu(inputs)) + self.bias

    monkeypatch.setattr(activations.StarReLU, "call", call)


def no_bias_in_star_relu(monkeypatch):
    def call(self, inputs):
        return self.scale * ops.square(ops.relu(inputs))

    monkeypatch.setattr(activations.StarReLU, "call", call)


def bias_of_star_relu_after_the_padded_convolution(monkeypatch):
    """As folding makes it: exact but for the border, where the padding has no bias."""

    def call(self, inputs):
        unbiased = self.act1(self.pwconv1(inputs)) - self.act1.bias
        bias = self.act1.bias * ops.sum(self.dwconv.kernel, axis=(0, 1))[:, 0]
        return self.pwconv2(self.dwconv(unbiased) + bias)

    monkeypatch.setattr(token_mixers.SepConv, "call", call)


def change_norms(monkeypatch, change):
    """Gives the norms of blocks other arguments: `change(kind, epsilon)`."""

    def make(kind, name, dtype, epsilon, use_bias, original=layers.make_norm):
        kind, epsilon = change(kind, epsilon)
        return original(kind, name, dtype, epsilon, use_bias)

    monkeypatch.setattr(blocks, "make_norm", make)


def the_other_norm(monkeypatch):
    other = {"group_norm": "layer_norm", "layer_norm": "group_norm"}
    change_norms(monkeypatch, lambda kind, epsilon: (other[kind], epsilon))


def norms_with_ten_times_the_epsilon(monkeypatch):
    change_norms(monkeypatch, lambda kind, epsilon: (kind, 10 * epsilon))


def kerass_epsilon_in_the_norms_of_embeddings(monkeypatch):
    original = layers.make_norm
    monkeypatch.setattr(layers, "make_norm", lambda *arguments: original(*arguments[:3], 0.01))


def attention(order=(0, 1, 2), scale=token_mixers.HEAD_WIDTH**-0.5):
    """`Attention.call`, with queries, keys and values in another order, or another scale."""

    def call(self, inputs):
        count, height, width, _ = ops.shape(inputs)
        parts = ops.split(self.qkv(inputs), 3, axis=-1)
        shape = (count, height * width, self.heads, token_mixers.HEAD_WIDTH)
        queries, keys, values = (ops.reshape(parts[part], shape) for part in order)
        weights = ops.softmax(scale * ops.einsum("bnhd,bmhd->bhnm", queries, keys))
        mixed = ops.einsum("bhnm,bmhd->bnhd", weights, values)
        return self.proj(ops.reshape(mixed, (count, height, width, -1)))

    return call


def keys_before_queries(monkeypatch):
    """That alone transposes the scores."""
    monkeypatch.setattr(token_mixers.Attention, "call", attention((1, 0, 2)))


def values_before_keys(monkeypatch):
    monkeypatch.setattr(token_mixers.Attention, "call", attention((0, 2, 1)))


def unscaled_attention(monkeypatch):
    monkeypatch.setattr(token_mixers.Attention, "call", attention(scale=1.0))


def transposed_random_matrix(monkeypatch):
    def call(self, inputs):
        count, height, width, channels = ops.shape(inputs)
        tokens = ops.reshape(inputs, (count, height * width, channels))
        mixed = ops.einsum("nm,bnc->bmc", self.random_matrix, tokens)
        return ops.reshape(mixed, (count, height, width, channels))

    monkeypatch.setattr(token_mixers.RandomMixing, "call", call)


def columns_before_rows_in_random_mixing(monkeypatch):
    def call(self, inputs, original=token_mixers.RandomMixing.call):
        return ops.transpose(original(self, ops.transpose(inputs, (0, 2, 1, 3))), (0, 2, 1, 3))

    monkeypatch.setattr(token_mixers.RandomMixing, "call", call)


# The network that each is planted in.
BUGS = {
    no_res_scale: "mixed",
    no_scale_in_star_relu: "mixed",
    no_bias_in_star_relu: "mixed",
    bias_of_star_relu_after_the_padded_convolution: "mixed",
    the_other_norm: "mixed",
    norms_with_ten_times_the_epsilon: "mixed",
    kerass_epsilon_in_the_norms_of_embeddings: "mixed",
    keys_before_queries: "mixed",
    values_before_keys: "mixed",
    unscaled_attention: "mixed",
    transposed_random_matrix: "mixed group norms",
    columns_before_rows_in_random_mixing: "mixed group norms",
}


@pytest.fixture(scope="module")
def parity_error(tmp_path_factory):
    """parity_error(name): the largest error of a freshly built model's logits and stages."""
    folder = tmp_path_factory.mktemp("weights")
    images = np.random.default_rng(0).standard_normal((1, 64, 64, 4))
    files, expected = {}, {}
    for name, config in NETWORKS.items():
        oracle = oracles.build_oracle(config, "metaformer")
        randomized_module(oracle.module)
        tensors = {name: tensor.contiguous() for name, tensor in oracle.state_dict().items()}
        files[name] = folder / f"{name}.safetensors"
        safetensors_torch.save_file(tensors, files[name])
        oracle.module.double()
        expected[name] = oracle.run(images)

    def error(name):
        config = NETWORKS[name]
        untold = {"token_mixers": config.token_mixers, "pool_size": config.pool_size}
        untold |= {"norm": config.norm, "norm_epsilon": config.norm_epsilon}
        model = MetaFormerImageClassifier.from_preset(files[name], dtype="float64", **untold)
        received = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)(images)
        received |= {"logits": model(images)}
        return max(relative_error(received[key], value) for key, value in expected[name].items())

    return error


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_bug_the_check_passes(parity_error, name):
    assert parity_error(name) <= TOLERANCE


def test_attention_is_written_here_as_there(parity_error, monkeypatch):
    """So that the bugs in it are the only difference."""
    monkeypatch.setattr(token_mixers.Attention, "call", attention())
    assert parity_error("mixed") <= TOLERANCE


@pytest.mark.first(4)
@pytest.mark.parametrize(("plant", "name"), BUGS.items(), ids=[plant.__name__ for plant in BUGS])
def test_a_planted_bug_fails_the_check(parity_error, monkeypatch, plant, name):
    plant(monkeypatch)
    error = parity_error(name)
    print(f"{plant.__name__}: {error:.1e}")
    assert error > SEEN_IN_FLOAT32
