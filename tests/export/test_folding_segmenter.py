"""The folded segmenter is the same function: in float64 nothing is left but rounding."""

import keras
import numpy as np
import pytest

from keras_poolformer import MetaFormerConfig, MetaFormerSegmenter
from keras_poolformer.export.networks.folding import fold
from tests.export.segmenters import randomized
from tests.helpers import relative_error
from tests.segmenters import CONFIG

TOLERANCE = 1e-12  # relative L2 in float64; measured up to 2e-15
_SECOND_PAPER = MetaFormerConfig(
    **{
        **vars(CONFIG),
        "depths": (1, 1),
        "widths": (16, 32),
        "patch_sizes": (7, 3),
        "strides": (4, 2),
        "paddings": (2, 1),
        "token_mixers": ("sep_conv", "attention"),
        "norm": "layer_norm",
        "use_bias": False,
        "embedding_norm": True,
        "activation": "star_relu",
    }
)
CONFIGS = {
    "pooling": CONFIG,
    "one stage": CONFIG.replace(
        depths=(1,), widths=(8,), patch_sizes=(7,), strides=(4,), paddings=(2,)
    ),
    "layer norm": CONFIG.replace(norm="layer_norm"),
    "layer norms without biases": _SECOND_PAPER,
}
CONSTANTS = ("laterals", "outputs", "scales", "last")


def images(config, height=64, width=96):
    noise = np.random.default_rng(0).standard_normal((2, height, width, config.in_channels))
    return keras.ops.convert_to_tensor(noise, "float64")


@pytest.fixture(scope="module")
def model():
    return randomized(CONFIG, dtype="float64")


@pytest.mark.first(2)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_logits(config):
    model = randomized(config, MetaFormerSegmenter, dtype="float64")
    inputs = images(config)
    assert relative_error(fold(model)(inputs), model(inputs)) <= TOLERANCE


def test_pyramid(model):
    inputs = images(CONFIG)
    folded = fold(model, "pyramid").pyramid(inputs)
    expected = model.backbone.feature_extractor()(inputs)
    assert folded.keys() == expected.keys()
    assert max(relative_error(folded[name], expected[name]) for name in expected) <= TOLERANCE


@pytest.fixture(scope="module")
def right(model):
    return fold(model)(images(CONFIG, 32, 32))


@pytest.mark.first(4)
@pytest.mark.parametrize("constant", ["kernel", "bias"])
@pytest.mark.parametrize("part", CONSTANTS)
def test_a_wrong_constant_is_seen(part, constant, model, right):
    network = fold(model)
    convolution = getattr(network.head, part)
    while isinstance(convolution, tuple):
        convolution = convolution[-1]
    getattr(convolution, constant)[...] *= 1 + 1e-6
    assert relative_error(network(images(CONFIG, 32, 32)), right) > TOLERANCE
