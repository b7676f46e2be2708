"""A small network of each family, and its weights at random: what tests of exports share."""

import numpy as np

from keras_poolformer import ImageTransform
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.export.networks.places import (
    EMBEDDING,
    MIXER_SUM,
    MLP_SUM,
    PROJECTION,
    Place,
)
from tests.helpers import randomized_model

TRANSFORM = ImageTransform(size=32, crop_pct=1.0)
_SECOND_PAPER = MetaFormerConfig(
    depths=(1, 1),
    widths=(16, 32),
    num_classes=5,
    norm_epsilon=1e-6,
    use_bias=False,
    embedding_norm=True,
    activation="star_relu",
    use_layer_scale=False,
    res_scale_init=(None, 1.0),
    head="pool_norm",
)
_STRONG = _SECOND_PAPER.replace(norm="layer_norm", head_mlp_ratio=4)
FAMILIES = {
    "poolformerv2": _SECOND_PAPER,
    "identityformer": _SECOND_PAPER.replace(token_mixers="identity"),
    "randformer": _SECOND_PAPER.replace(token_mixers="random", num_tokens=(64, 16)),
    "convformer": _STRONG.replace(token_mixers="sep_conv"),
    "caformer": _STRONG.replace(token_mixers=("sep_conv", "attention")),
}
# Mixers, norms, biases and heads as no released network combines them.
_BIASED = {"use_bias": True, "use_layer_scale": True, "head_mlp_ratio": 0}
MIXTURES = {
    "random and layer norm": FAMILIES["randformer"].replace(norm="layer_norm", **_BIASED),
    "random and biases": FAMILIES["randformer"].replace(**_BIASED),
    "identity and layer norm": FAMILIES["identityformer"].replace(norm="layer_norm", **_BIASED),
    "attention and group norm": FAMILIES["caformer"].replace(norm="group_norm", **_BIASED),
    "norm_pool and pooling": FAMILIES["poolformerv2"].replace(
        norm="layer_norm", head="norm_pool", **_BIASED
    ),
    "an MLP behind norm_pool": _STRONG.replace(
        token_mixers=("pooling", "sep_conv"), head="norm_pool", norm="group_norm"
    ),
    "no classes": FAMILIES["convformer"].replace(num_classes=0),
}


def family_model(config, model_class=None, *, any_sign=False, **options):
    """A model whose weights are all random, in ranges that keep activations alive.

    Args:
        config: Architecture.
        model_class: Class of the model; by default the classifier.
        any_sign: Whether scales of StarReLU and of shortcuts may be negative, and one is 0.
        **options: Arguments of the class.
    """
    model = randomized_model(config, model_class, **options)
    random = np.random.default_rng(7)
    low = -1.3 if any_sign else 0.5
    for variable in model.weights:
        if "res_scale" in variable.path:
            scales = random.uniform(low if any_sign else 0.7, 1.3, variable.shape)
            scales[0] *= not any_sign
            variable.assign(scales)
        elif variable.path.endswith(("act/scale", "act1/scale")):
            variable.assign(random.uniform(low, 1.3, 1))
        elif variable.path.endswith(("act/bias", "act1/bias")):
            variable.assign(random.uniform(-0.6, -0.1, 1))
        elif variable.path.endswith("random_matrix"):
            weights = np.exp(random.uniform(0, 1, variable.shape))
            variable.assign(weights / weights.sum(1, keepdims=True))
    return model


def stream_places(config):
    """Each place whose tensor is divided by constants, and its number of channels."""
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
        yield Place(stage, None, PROJECTION), width
        yield Place(stage, None, EMBEDDING), width
        for block in range(depth):
            yield Place(stage, block, MIXER_SUM), width
            yield Place(stage, block, MLP_SUM), width
