"""timm's MetaFormer, and from its parts what only the authors' code of the second paper has.

timm has no RandomMixing and no group norm over tokens, leaves out a downsampling between stages of
equal width, and reshapes attention to the width. Names are mapped by rules that are independent of
`keras_poolformer`'s layouts, so that a mistake there cannot hide itself.
"""

import functools
import itertools
import re
from typing import Any

import torch
from timm.models.metaformer import (
    Attention,
    Downsampling,
    GroupNorm1,
    GroupNorm1NoBias,
    LayerNorm2d,
    LayerNorm2dNoBias,
    LayerNormNoBias,
    MetaFormer,
    Pooling,
    SepConv,
    StarReLU,
)

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.errors import InputError

NAME = "timm.models.metaformer.MetaFormer"
SAIL_HEAD_EPSILON = 1e-5  # of the norm inside the head's MLP: PyTorch's default; timm's is 1e-6
_HEAD_WIDTH = 32  # channels of an attention head
_ACTIVATIONS = {"gelu": torch.nn.GELU, "star_relu": StarReLU}
_SAIL_NAMES = (
    (r"^stem\.conv\.", "downsample_layers.0.conv."),
    (r"^stem\.norm\.", "downsample_layers.0.post_norm."),
    (r"^stages\.(\d)\.downsample\.conv\.", r"downsample_layers.\1.conv."),
    (r"^stages\.(\d)\.downsample\.norm\.", r"downsample_layers.\1.pre_norm."),
    (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
    (r"^head\.norm\.", "norm."),
    (r"^head\.fc\.", "head."),
)


def metaformer_name(timm_name: str) -> str:
    """Returns the name of a tensor of timm's MetaFormer in sail-sg/metaformer."""
    for pattern, replacement in _SAIL_NAMES:
        timm_name, found = re.subn(pattern, replacement, timm_name)
        if found:
            break
    return timm_name


def build_timm(config: MetaFormerConfig) -> torch.nn.Module:
    """Returns timm's class with fresh weights.

    Args:
        config: Architecture of a network of either paper.

    Raises:
        InputError: timm's class cannot have this architecture.
    """
    _check_fixed(config)
    _check_timm(config)
    return _metaformer(config).eval()


def build_metaformer(config: MetaFormerConfig) -> torch.nn.Module:
    """Returns what sail-sg/metaformer computes, with timm's names and fresh weights.

    Args:
        config: Architecture of a network of the second paper.

    Raises:
        InputError: The authors' class cannot have this architecture.
    """
    _check_fixed(config)
    if not config.embedding_norm or config.use_bias:
        raise InputError(
            "sail-sg/metaformer's class has embedding_norm=True, use_bias=False. Received: "
            f"embedding_norm={config.embedding_norm}, use_bias={config.use_bias}"
        )
    module: Any = _metaformer(config)
    for stage in _stages_of_equal_width(config):
        width = config.widths[stage]
        norm = _norm("layer_norm", config)
        module.stages[stage].downsample = Downsampling(width, width, 3, 2, 1, norm)
    if config.head_mlp_ratio and config.num_classes:
        module.head.fc.norm.eps = SAIL_HEAD_EPSILON
    return module.eval()


class RandomMixing(torch.nn.Module):
    """sail-sg/metaformer's mixer: each pixel becomes a fixed random average of all pixels.

    Its subclasses know the number of pixels: timm makes all mixers with the same arguments.
    """

    num_tokens: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        matrix = torch.softmax(torch.rand(self.num_tokens, self.num_tokens), dim=-1)
        self.random_matrix = torch.nn.Parameter(matrix, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the mixed feature map (N, C, H, W)."""
        return (x.flatten(2) @ self.random_matrix.T).view_as(x)


class AttentionOfAnyWidth(Attention):
    """timm's attention, also for widths that are not a multiple of the heads' 32 channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the mixed tokens (N, H * W, C)."""
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim)).transpose(1, 3)
        scores = heads[:, :, 0] @ heads[:, :, 1].mT * self.scale
        mixed = scores.softmax(-1) @ heads[:, :, 2]  # (N, heads, H * W, 32)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class GroupNormOfTokens(GroupNorm1NoBias):
    """timm's group norm, for the tokens (N, H * W, C) of a stage with attention."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the normalized tokens."""
        return super().forward(x.mT).mT


def _check_fixed(config: MetaFormerConfig) -> None:
    """Rejects what the class has no argument for."""
    stages = len(config.depths)
    fixed: dict[str, tuple[Any, ...]] = {
        "mlp_ratio": (4.0,),
        "activation": tuple(_ACTIVATIONS),
        "patch_sizes": ((7, 3, 3, 3)[:stages],),
        "strides": ((4, 2, 2, 2)[:stages],),
        "paddings": ((2, 1, 1, 1)[:stages],),
        "head_mlp_ratio": (0, 4.0),
    }
    for name, values in fixed.items():
        if getattr(config, name) not in values:
            choices = " or ".join(map(str, values))
            received = getattr(config, name)
            raise InputError(f"timm's class has {name}={choices}. Received: {received}")


def _check_timm(config: MetaFormerConfig) -> None:
    """Rejects what only the authors' code has."""
    attention = [
        width
        for width, mixer in zip(config.widths, config.token_mixers, strict=True)
        if mixer == "attention"
    ]
    if "random" in config.token_mixers:
        raise InputError(
            f"timm has no random token mixer. Received: token_mixers={config.token_mixers}"
        )
    if any(width % _HEAD_WIDTH for width in attention):
        raise InputError(
            f"timm's attention needs widths that are multiples of {_HEAD_WIDTH}. Received: "
            f"widths={config.widths}, token_mixers={config.token_mixers}"
        )
    if attention and config.norm == "group_norm":
        raise InputError("timm's attention needs norm='layer_norm'. Received: norm='group_norm'")
    if _stages_of_equal_width(config):
        raise InputError(
            f"timm has no downsampling between stages of equal width. Received: "
            f"widths={config.widths}"
        )


def _stages_of_equal_width(config: MetaFormerConfig) -> list[int]:
    """The stages that are as wide as the one before."""
    pairs = enumerate(itertools.pairwise(config.widths), start=1)
    return [stage for stage, (before, width) in pairs if before == width]


def _metaformer(config: MetaFormerConfig) -> MetaFormer:
    return MetaFormer(
        in_chans=config.in_channels,
        num_classes=config.num_classes,
        depths=config.depths,
        dims=config.widths,
        token_mixers=[_token_mixer(config, stage) for stage in range(len(config.depths))],
        downsample_norm=_norm("layer_norm", config) if config.embedding_norm else None,
        mlp_act=_ACTIVATIONS[config.activation],
        mlp_bias=config.use_bias,
        norm_layers=[_norm(config.norm, config, mixer) for mixer in config.token_mixers],
        drop_path_rate=config.drop_path_rate,
        layer_scale_init_values=config.layer_scale_init if config.use_layer_scale else None,
        res_scale_init_values=[config.res_scale(stage) for stage in range(len(config.depths))],
        use_mlp_head=bool(config.head_mlp_ratio),
        **({"pool_size": config.pool_size} if "pooling" in config.token_mixers else {}),
    )


def _token_mixer(config: MetaFormerConfig, stage: int) -> type[torch.nn.Module]:
    mixer = config.token_mixers[stage]
    if mixer == "random":
        return type("RandomMixing", (RandomMixing,), {"num_tokens": config.tokens(stage)})
    if mixer == "attention" and config.widths[stage] % _HEAD_WIDTH:
        return AttentionOfAnyWidth
    classes = {
        "pooling": Pooling,
        "identity": torch.nn.Identity,
        "sep_conv": SepConv,
        "attention": Attention,
    }
    return classes[mixer]


def _norm(kind: str, config: MetaFormerConfig, mixer: str = "") -> Any:
    """A function from the width to the norm; in stages with attention it is one of tokens."""
    classes = {
        ("group_norm", True, False): GroupNorm1,
        ("group_norm", False, False): GroupNorm1NoBias,
        ("group_norm", False, True): GroupNormOfTokens,
        ("layer_norm", True, False): LayerNorm2d,
        ("layer_norm", False, False): LayerNorm2dNoBias,
        ("layer_norm", True, True): torch.nn.LayerNorm,
        ("layer_norm", False, True): LayerNormNoBias,
    }
    norm_class = classes[kind, config.use_bias, mixer == "attention"]
    return functools.partial(norm_class, eps=config.norm_epsilon)
