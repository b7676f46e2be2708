"""The parity check can fail: each bug a port may have (FACTS of the original) is planted."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.models import blocks, layers, token_mixers
from tests.helpers import TOLERANCE, randomized_module

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")


def tanh_gelu(monkeypatch):
    monkeypatch.setitem(
        layers.ACTIVATION_FUNCTIONS, "gelu", layers.ACTIVATION_FUNCTIONS["gelu_tanh"]
    )


def padding_counts_in_the_average(monkeypatch):
    def call(self, inputs):
        margin = self.pool_size // 2
        padded = keras.ops.pad(inputs, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
        return keras.ops.average_pool(padded, self.pool_size, 1, "valid") - inputs

    monkeypatch.setattr(token_mixers.Pooling, "call", call)


def no_subtraction_in_the_mixer(monkeypatch):
    def call(self, inputs):
        return keras.ops.average_pool(inputs, self.pool_size, 1, "same")

    monkeypatch.setattr(token_mixers.Pooling, "call", call)


def all_blocks_removed(monkeypatch):
    monkeypatch.setattr(blocks.PoolFormerBlock, "call", lambda self, inputs, **_: inputs)


def same_padding(monkeypatch):
    def call(self, inputs):
        self.projection.padding = "same"
        return self.projection(inputs)

    monkeypatch.setattr(layers.PatchEmbedding, "call", call)


def kerass_group_norm_epsilon(monkeypatch):
    def make_norm(kind, name, dtype, *_, original=layers.make_norm):
        return original(kind, name, dtype, epsilon=1e-3)

    monkeypatch.setattr(blocks, "make_norm", make_norm)


def the_other_head(monkeypatch):
    original = PoolFormerImageClassifier.__init__

    def with_other_head(self, config, **arguments):
        original(self, config.replace(head="pool_norm"), **arguments)

    monkeypatch.setattr(PoolFormerImageClassifier, "__init__", with_other_head)


BUGS = [
    tanh_gelu,
    padding_counts_in_the_average,
    no_subtraction_in_the_mixer,
    all_blocks_removed,
    same_padding,
    kerass_group_norm_epsilon,
    the_other_head,
]


@pytest.fixture(scope="module")
def parity_error(odd_config, images, tmp_path_factory):
    """Checks a freshly built model; returns the largest error of its logits and stages."""
    oracle = oracles.build_oracle(odd_config, "hf")
    randomized_module(oracle.module)
    file = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(oracle.module.state_dict(), file)
    inputs = images[:1][..., np.arange(4) % 3]
    expected = oracle.run(inputs)["logits"]

    def error():
        model = PoolFormerImageClassifier(odd_config)
        load_torch_weights(model, file)
        received = np.asarray(model(inputs))
        return np.linalg.norm(received - expected) / np.linalg.norm(expected)

    return error


def test_without_a_bug_the_check_passes(parity_error):
    assert parity_error() <= TOLERANCE


@pytest.mark.first(4)
@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_fails_the_check(parity_error, monkeypatch, plant):
    plant(monkeypatch)
    assert parity_error() > 10 * TOLERANCE
