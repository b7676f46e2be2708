"""Folding is the same function: in float64 nothing is left but rounding."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig
from keras_poolformer.config_fields import ACTIVATIONS, NORMS
from keras_poolformer.export.networks import mixers
from keras_poolformer.export.networks.folding import fold
from tests.export.family import FAMILIES, MIXTURES, family_model
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
TOLERANCE = 1e-12  # relative L2 in float64; measured up to 2e-15
# Constants of the mixers, each of a family that has it.
MIXER_CONSTANTS = {
    "scale": "poolformerv2",
    "matrix": "randformer",
    "kernel1": "convformer",
    "shift": "convformer",
    "depthwise": "convformer",
    "kernel2": "convformer",
    "kernels": "caformer",
    "kernel": "caformer",
}


def photographs_like(config, images):
    return images[:1, :65, :90][..., np.arange(config.in_channels) % 3].astype("float64")


@pytest.mark.first(3)
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


# Side, stride and padding of the last embedding's kernel.
@pytest.mark.parametrize(
    "patch", [(3, 2, 1), (2, 3, 0), (5, 2, 2), (5, 3, 1), (1, 2, 0), (3, 1, 1)]
)
def test_gathered_patches(patch, images):
    """Of maps with even and odd sides."""
    side, stride, padding = patch
    config = TINY.replace(
        patch_sizes=(7, 3, side), strides=(4, 2, stride), paddings=(2, 1, padding)
    )
    model = randomized_model(config, dtype="float64")
    inputs = keras.ops.convert_to_tensor(photographs_like(config, images), "float64")
    network = fold(model, gather_patches=True)
    assert (network.stages[-1].kernel.shape[:2] == (1, 1)) == (patch != (3, 1, 1))
    assert relative_error(network(inputs), model(inputs)) <= TOLERANCE


def test_backbone(images):
    model = randomized_model(TINY, PoolFormerBackbone, dtype="float64")
    inputs = keras.ops.convert_to_tensor(photographs_like(TINY, images), "float64")
    assert relative_error(fold(model)(inputs), model(inputs)) <= TOLERANCE


def test_norms_on_the_stages_without_biases():
    config = FAMILIES["poolformerv2"].replace(feature_norms=True)
    model = family_model(config, PoolFormerBackbone, dtype="float64")
    inputs = square_images()
    folded, expected = fold(model).pyramid(inputs), model.feature_extractor()(inputs)
    assert max(relative_error(folded[name], expected[name]) for name in expected) <= TOLERANCE


@pytest.mark.first(2)
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


@pytest.mark.parametrize("part", ["fc1_kernel", "fc1_bias", "fc2_kernel", "fc2_bias"])
def test_a_wrong_constant_is_seen(part, images):
    network = fold(randomized_model(TINY, dtype="float64"))
    inputs = keras.ops.convert_to_tensor(photographs_like(TINY, images), "float64")
    right = network(inputs)
    getattr(network.stages[1].blocks[1].mlp, part)[..., 0] *= 1 + 1e-6
    assert relative_error(network(inputs), right) > TOLERANCE


def square_images(count=2):
    return keras.ops.convert_to_tensor(
        np.random.default_rng(0).standard_normal((count, 32, 32, 3)), "float64"
    )


@pytest.mark.first(5)
@pytest.mark.parametrize("name", [*FAMILIES, *MIXTURES])
def test_every_mixer_and_its_stages(name):
    """Whatever the signs of the scales of StarReLU and shortcuts; some are 0."""
    model = family_model((FAMILIES | MIXTURES)[name], any_sign=True, dtype="float64")
    inputs = square_images()
    expected, stages = model(inputs), model.backbone.feature_extractor()(inputs)
    for split_depthwise in (False, True):
        network = fold(model, split_depthwise=split_depthwise)
        assert relative_error(network(inputs), expected) <= TOLERANCE
        folded = network.pyramid(inputs)
        assert max(relative_error(folded[level], stages[level]) for level in stages) <= TOLERANCE


def test_scales_of_zero():
    """A StarReLU that is only its bias, and shortcuts that pass nothing."""
    model = family_model(FAMILIES["convformer"], dtype="float64")
    for variable in model.weights:
        if "res_scale" in variable.path or variable.path.endswith(("act/scale", "act1/scale")):
            variable.assign(np.zeros(variable.shape))
    inputs = square_images()
    assert relative_error(fold(model)(inputs), model(inputs)) <= TOLERANCE


@pytest.mark.first(3)
@pytest.mark.parametrize(("part", "family"), MIXER_CONSTANTS.items())
def test_a_wrong_constant_of_a_mixer_is_seen(part, family):
    network = fold(family_model(FAMILIES[family], dtype="float64"))
    inputs = square_images(1)
    right = network(inputs)
    constant = getattr(network.stages[1].blocks[0].mixer, part)
    constant = constant[-1] if isinstance(constant, tuple) else constant
    constant[..., 0] *= 1 + 1e-6
    assert relative_error(network(inputs), right) > TOLERANCE


def test_a_bias_of_star_relu_behind_the_zero_padding_is_seen(monkeypatch):
    """Padding with the bias is what a plain bias behind the depthwise convolution would do."""
    model = family_model(FAMILIES["convformer"], dtype="float64")
    bias = -0.3
    for variable in model.weights:
        if variable.path.endswith("act1/bias"):
            variable.assign([bias])
    inputs = square_images(1)

    def pad(x, padding):
        margins = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        return keras.ops.pad(x, margins, constant_values=bias)

    monkeypatch.setattr(mixers, "pad", pad)
    assert relative_error(fold(model)(inputs), model(inputs)) > 0.01  # measured 0.1


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
