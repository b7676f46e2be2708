"""Folding is the same function: in float64 nothing is left but rounding."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig
from keras_poolformer.config_fields import ACTIVATIONS, NORMS
from keras_poolformer.export.networks.folding import fold
from tests.helpers import randomized_model, relative_error

TINY = PoolFormerConfig(depths=(1, 2, 1), widths=(8, 12, 16), num_classes=5)
CONFIGS = {
    "norm_pool": TINY,
    "pool_norm": TINY.replace(head="pool_norm"),
    "embedding": TINY.replace(num_classes=0),
    "pool_norm embedding": TINY.replace(num_classes=0, head="pool_norm"),
    "no layer scale": TINY.replace(use_layer_scale=False),
    "pool size 5": TINY.replace(pool_size=5),
    "pool size 1": TINY.replace(pool_size=1),
    "mlp ratio": TINY.replace(mlp_ratio=2.5),
    "channels": TINY.replace(in_channels=4),
    "one stage": PoolFormerConfig(depths=(3,), widths=(8,), num_classes=2),
    "patches": TINY.replace(patch_sizes=(5, 2, 3), strides=(3, 2, 1), paddings=(1, 0, 2)),
    "layer norm": TINY.replace(norm="layer_norm"),
    "layer norm, pool_norm": TINY.replace(norm="layer_norm", head="pool_norm"),
    "dropout": TINY.replace(drop_path_rate=0.3, dropout_rate=0.3),
    **{activation: TINY.replace(activation=activation) for activation in ACTIVATIONS},
}
TOLERANCE = 1e-12  # relative L2 in float64; measured up to 5e-16


def photographs_like(config, images):
    return images[:1, :65, :90][..., np.arange(config.in_channels) % 3].astype("float64")


@pytest.mark.first(6)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_classifier_and_its_stages(config, images):
    model = randomized_model(config, dtype="float64")
    inputs = keras.ops.convert_to_tensor(photographs_like(config, images), "float64")
    network = fold(model)
    assert relative_error(network(inputs), model(inputs)) <= TOLERANCE
    stages = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)(inputs)
    folded = network.pyramid(inputs)
    assert folded.keys() == stages.keys()
    assert max(relative_error(folded[name], stages[name]) for name in stages) <= TOLERANCE


def test_backbone(images):
    model = randomized_model(TINY, PoolFormerBackbone, dtype="float64")
    inputs = keras.ops.convert_to_tensor(photographs_like(TINY, images), "float64")
    assert relative_error(fold(model)(inputs), model(inputs)) <= TOLERANCE


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("norms", [True, ["P3"]])
def test_norms_on_the_stages(norms, norm, images):
    config = TINY.replace(feature_norms=norms, norm=norm)
    model = randomized_model(config, PoolFormerBackbone, dtype="float64")
    inputs = keras.ops.convert_to_tensor(photographs_like(config, images), "float64")
    network, expected = fold(model), model.feature_extractor()(inputs)
    folded = network.pyramid(inputs)
    assert folded.keys() == expected.keys()
    assert max(relative_error(folded[name], expected[name]) for name in expected) <= TOLERANCE
    assert relative_error(network(inputs), model(inputs)) <= TOLERANCE


@pytest.mark.parametrize("part", ["mixer_scale", "fc1_kernel", "fc1_bias", "fc2_bias"])
def test_a_wrong_constant_is_seen(part, images):
    network = fold(randomized_model(TINY, dtype="float64"))
    inputs = keras.ops.convert_to_tensor(photographs_like(TINY, images), "float64")
    right = network(inputs)
    getattr(network.stages[1].blocks[1], part)[..., 0] *= 1 + 1e-6
    assert relative_error(network(inputs), right) > TOLERANCE


def test_a_large_mean_does_not_cancel_in_float32(images):
    """As E[x^2] - E[x]^2 would: the stream's mean is 300, its deviation about 1."""
    config = CONFIGS["one stage"]
    model = randomized_model(config, dtype="float64")
    embedding = model.backbone.get_layer("stages_0_embedding").projection
    embedding.bias.assign_add(np.full(embedding.bias.shape, 300.0))
    inputs = photographs_like(config, images)
    expected = np.asarray(model(inputs))
    received = fold(model)(keras.ops.convert_to_tensor(inputs, "float32"))
    # Measured: 1.2e-5; with the other formula 2.9e-3.
    assert np.linalg.norm(received - expected) <= 1e-4 * np.linalg.norm(expected)
