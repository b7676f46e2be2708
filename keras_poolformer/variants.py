"""The released architectures as rows: plain data, with their sources."""

from collections.abc import Mapping
from typing import Any

from keras_poolformer.config import MetaFormerConfig

_SMALL = (64, 128, 320, 512)  # channels of the stages of s12, s18, s24 and s36
_MEDIUM = (96, 192, 384, 768)  # of m36 and m48 of the networks without convolution and attention
# Tokens that the matrices of a RandFormer mix: 14 x 14 and 7 x 7, of images of 224 pixels.
_RANDOM_TOKENS = (None, None, 196, 49)


def _poolformer(
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    drop_path_rate: float,
    layer_scale_init: float,
) -> MetaFormerConfig:
    return MetaFormerConfig(
        depths=depths,
        widths=widths,
        drop_path_rate=drop_path_rate,
        layer_scale_init=layer_scale_init,
    )


def _second_paper(
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    drop_path_rate: float,
    token_mixers: str | tuple[str, ...],
    norm: str = "group_norm",
    head_mlp_ratio: float = 0,
    num_tokens: tuple[int | None, ...] | None = None,
) -> MetaFormerConfig:
    """A network of arXiv 2210.13452: StarReLU, no biases, scaled shortcuts, normed embeddings."""
    return MetaFormerConfig(
        depths=depths,
        widths=widths,
        drop_path_rate=drop_path_rate,
        token_mixers=token_mixers,
        num_tokens=num_tokens,
        norm=norm,
        norm_epsilon=1e-6,
        use_bias=False,
        embedding_norm=True,
        activation="star_relu",
        use_layer_scale=False,
        res_scale_init=(None, None, 1.0, 1.0),
        head="pool_norm",
        head_mlp_ratio=head_mlp_ratio,
    )


# {size: (depths, widths)} of the networks whose mixers pool, do nothing, or mix at random.
_BASIC_SIZES = {
    "s12": ((2, 2, 6, 2), _SMALL),
    "s24": ((4, 4, 12, 4), _SMALL),
    "s36": ((6, 6, 18, 6), _SMALL),
    "m36": ((6, 6, 18, 6), _MEDIUM),
    "m48": ((8, 8, 24, 8), _MEDIUM),
}
# The same, of ConvFormer and CAFormer.
_STRONG_SIZES = {
    "s18": ((3, 3, 9, 3), _SMALL),
    "s36": ((3, 12, 18, 3), _SMALL),
    "m36": ((3, 12, 18, 3), (96, 192, 384, 576)),
    "b36": ((3, 12, 18, 3), (128, 256, 512, 768)),
}


def _basic(
    family: str,
    token_mixers: str | tuple[str, ...],
    drop_path_rates: tuple[float, ...],
    num_tokens: tuple[int | None, ...] | None = None,
) -> dict[str, MetaFormerConfig]:
    return {
        f"{family}_{size}": _second_paper(
            depths, widths, rate, token_mixers=token_mixers, num_tokens=num_tokens
        )
        for (size, (depths, widths)), rate in zip(
            _BASIC_SIZES.items(), drop_path_rates, strict=True
        )
    }


def _strong(
    family: str, token_mixers: str | tuple[str, ...], drop_path_rates: tuple[float, ...]
) -> dict[str, MetaFormerConfig]:
    return {
        f"{family}_{size}": _second_paper(
            depths, widths, rate, token_mixers, norm="layer_norm", head_mlp_ratio=4
        )
        for (size, (depths, widths)), rate in zip(
            _STRONG_SIZES.items(), drop_path_rates, strict=True
        )
    }


VARIANTS: dict[str, MetaFormerConfig] = {
    # Table 1 of arXiv 2111.11418; drop path and layer scale from the authors' scripts/README.
    "poolformer_s12": _poolformer((2, 2, 6, 2), _SMALL, 0.1, 1e-5),
    "poolformer_s24": _poolformer((4, 4, 12, 4), _SMALL, 0.1, 1e-5),
    "poolformer_s36": _poolformer((6, 6, 18, 6), _SMALL, 0.2, 1e-6),
    "poolformer_m36": _poolformer((6, 6, 18, 6), _MEDIUM, 0.3, 1e-6),
    "poolformer_m48": _poolformer((8, 8, 24, 8), _MEDIUM, 0.4, 1e-6),
    # Tables 1 and 3 of arXiv 2210.13452; drop path from scripts/ of sail-sg/metaformer.
    **_basic("poolformerv2", "pooling", (0.1, 0.1, 0.2, 0.3, 0.4)),
    **_basic("identityformer", "identity", (0.1, 0.1, 0.2, 0.3, 0.4)),
    **_basic(
        "randformer",
        ("identity", "identity", "random", "random"),
        (0.1, 0.1, 0.2, 0.3, 0.3),
        num_tokens=_RANDOM_TOKENS,
    ),
    **_strong("convformer", "sep_conv", (0.2, 0.3, 0.4, 0.6)),
    **_strong(
        "caformer",
        ("sep_conv", "sep_conv", "attention", "attention"),
        (0.15, 0.3, 0.4, 0.6),
    ),
}
# Those that timm has; the others are sail-sg's alone.
TIMM_VARIANTS = {
    name: variant
    for name, variant in VARIANTS.items()
    if name.split("_")[0] in ("poolformer", "poolformerv2", "convformer", "caformer")
}
# Fields that tell the variants apart; the others are rates, classes and images, or what the
# libraries compute differently.
_IDENTIFYING = ("depths", "widths", "token_mixers", "embedding_norm")


def find_variant(fields: Mapping[str, Any]) -> str | None:
    """Returns the name of the variant with these depths, widths and token mixers, or None.

    Args:
        fields: Fields of a config, with tuples; `vars(config)` are such.
    """
    for name, variant in VARIANTS.items():
        if all(getattr(variant, field) == fields[field] for field in _IDENTIFYING):
            return name
    return None
