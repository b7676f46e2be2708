"""All tensors that a checkpoint must hold, by the layout of its names and the architecture."""

import math
from collections.abc import Callable

from keras_poolformer.checkpoints.layouts import LAYOUTS, METAFORMER, SAIL, Layout, Tensor
from keras_poolformer.checkpoints.segmenter_tensors import neck_and_head
from keras_poolformer.checkpoints.tensor_groups import affine, norm, star_relu
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import (
    EXPANSION,
    HEAD_WIDTH,
    KERNEL_SIZE,
    SEMANTIC_FPN,
    attention_heads,
)
from keras_poolformer.support.errors import InputError


def expected_tensors(config: MetaFormerConfig, layout: Layout) -> list[Tensor]:
    """Returns every tensor of a classifier or segmenter; without classes, up to its last norm.

    Args:
        config: Architecture of the network.
        layout: Layout of the names.

    Raises:
        InputError: The layout's library has no such network, or no names for `feature_norms`.
    """
    check_supported(config, layout)
    return _tensors(config, layout)


def keras_tensors(config: MetaFormerConfig) -> list[Tensor]:
    """Returns every tensor of a classifier or segmenter, as its Keras variables have them.

    Their PyTorch names mean nothing: no library has all of these networks.
    """
    return _tensors(config, METAFORMER)


def count_parameters(config: MetaFormerConfig) -> int:
    """Returns the number of weights of a classifier or segmenter, without building it.

    The running statistics of batch norms are not counted, as PyTorch has it.
    """
    return sum(math.prod(t.shape) for t in keras_tensors(config) if not t.is_statistic)


def feature_norm_path(stage: int) -> str:
    """Returns the layer name, which is also the variable path, of the norm of a stage's output."""
    return f"stages_{stage}_output_norm"


def check_supported(config: MetaFormerConfig, layout: Layout) -> None:
    """Rejects a network that a layout's library does not have.

    Raises:
        InputError: There is no such network, or there are no names for `feature_norms`.
    """
    changed = _changed_from_first_paper(config)
    if changed and not layout.stem_norm:
        raise InputError(
            f"layout {layout.name} has only networks of the first paper (arXiv 2111.11418): use "
            f"{_names_with(config)}. Received: {changed}"
        )
    if not set(config.token_mixers) <= set(layout.token_mixers):
        raise InputError(
            f"layout {layout.name} has no token mixers other than "
            f"{', '.join(layout.token_mixers)}: use {_names_with(config)}. "
            f"Received: token_mixers={config.token_mixers}"
        )
    if layout.needs_embedding_norm and not config.embedding_norm:
        raise InputError(
            f"layout {layout.name} has only networks of the second paper (arXiv 2210.13452): use "
            f"{_names_with(config)}. Received: embedding_norm=False"
        )
    if not config.embedding_norm and config.norm not in layout.norms:
        raise InputError(
            f"layout {layout.name} supports only {layout.norms[0]}; {SAIL.name} supports "
            f"{', '.join(SAIL.norms)}. Received: norm={config.norm!r}"
        )
    if config.feature_norms and not layout.feature_norm:
        raise InputError(
            f"layout {layout.name} has no names for `feature_norms`, only {SAIL.name} has. "
            f"Received: feature_norms={config.feature_norms}"
        )


def _names_with(config: MetaFormerConfig) -> str:
    """The layouts that have a network's token mixers, as far as they have its generation."""
    names = [
        layout.name
        for layout in LAYOUTS.values()
        if set(config.token_mixers) <= set(layout.token_mixers)
        and (layout.stem_norm or not _changed_from_first_paper(config))
        and (config.embedding_norm or not layout.needs_embedding_norm)
        and config.is_segmenter == (layout.head_kind == SEMANTIC_FPN)
    ]
    return " or ".join(names)


def _changed_from_first_paper(config: MetaFormerConfig) -> str:
    """A field that only networks of the second paper have, with its value, or ""."""
    if config.activation == "star_relu":
        return f"activation={config.activation!r}"
    for field in ("embedding_norm", "use_bias", "res_scale_init", "head_mlp_ratio"):
        if getattr(config, field) != getattr(MetaFormerConfig, field):
            return f"{field}={getattr(config, field)}"
    return ""


def _tensors(config: MetaFormerConfig, layout: Layout) -> list[Tensor]:
    table: list[Tensor] = []
    for i, depth in enumerate(config.depths):
        table += _embedding(config, layout, i)
        for j in range(depth):
            table += _block(config, layout, i, j)
    table += _feature_norms(config, layout)
    if config.is_segmenter:
        return table + neck_and_head(config)
    table += norm(layout.head_norm, "head_norm", config.widths[-1])
    if config.num_classes:
        table += _head(config, layout)
    return table


def _embedding(config: MetaFormerConfig, layout: Layout, i: int) -> list[Tensor]:
    inputs = config.widths[i - 1] if i else config.in_channels
    width, size = config.widths[i], config.patch_sizes[i]
    path = f"stages_{i}_embedding"
    table = affine(
        layout.embedding_name(i), f"{path}/projection", (width, inputs, size, size), "conv"
    )
    if config.embedding_norm:
        channels = inputs if i else width
        table += norm(layout.embedding_norm_name(i), f"{path}/norm", channels, config.use_bias)
    return table


def _block(config: MetaFormerConfig, layout: Layout, i: int, j: int) -> list[Tensor]:
    name = layout.block_name(i, j)
    path = f"stages_{i}_blocks_{j}"
    width = config.widths[i]
    table = [
        *norm(f"{name}.{layout.norm1}", f"{path}/norm1", width, config.use_bias),
        *norm(f"{name}.{layout.norm2}", f"{path}/norm2", width, config.use_bias),
        *_MIXERS[config.token_mixers[i]](config, layout, i, f"{name}.token_mixer", path),
        *_mlp(config, layout, i, name, f"{path}/mlp"),
    ]
    scales: dict[str, str] = {}
    if config.use_layer_scale:
        scales |= {"layer_scale1": layout.layer_scale1, "layer_scale2": layout.layer_scale2}
    if config.res_scale(i) is not None:
        scales |= {"res_scale1": layout.res_scale1, "res_scale2": layout.res_scale2}
    for scale, template in scales.items():
        table.append(Tensor(f"{name}.{template}", (width,), f"{path}/{scale}/gamma", "vector"))
    return table


def _mlp(config: MetaFormerConfig, layout: Layout, i: int, name: str, path: str) -> list[Tensor]:
    width, hidden = config.widths[i], config.hidden_width(i)
    table: list[Tensor] = []
    for layer, template, inputs, outputs in (
        ("fc1", layout.fc1, width, hidden),
        ("fc2", layout.fc2, hidden, width),
    ):
        module = f"{name}.{template}"
        table.append(_pixelwise(config, layout, i, module, f"{path}/{layer}", inputs, outputs))
        if config.use_bias:
            table.append(Tensor(f"{module}.bias", (outputs,), f"{path}/{layer}/bias", "vector"))
    if config.activation == "star_relu":
        table += star_relu(f"{name}.{layout.activation}", f"{path}/act")
    return table


def _no_weights(
    config: MetaFormerConfig, layout: Layout, i: int, name: str, block: str
) -> list[Tensor]:
    return []


def _random(
    config: MetaFormerConfig, layout: Layout, i: int, name: str, block: str
) -> list[Tensor]:
    tokens = config.tokens(i)
    path = f"{block}/token_mixer/random_matrix"
    return [Tensor(f"{name}.random_matrix", (tokens, tokens), path, "matrix")]


def _sep_conv(
    config: MetaFormerConfig, layout: Layout, i: int, name: str, block: str
) -> list[Tensor]:
    width = config.widths[i]
    hidden = EXPANSION * width
    path = f"{block}/token_mixer"
    kernel = (hidden, 1, KERNEL_SIZE, KERNEL_SIZE)
    return [
        _pixelwise(config, layout, i, f"{name}.pwconv1", f"{path}/pwconv1", width, hidden),
        *star_relu(f"{name}.act1", f"{path}/act1"),
        Tensor(f"{name}.dwconv.weight", kernel, f"{path}/dwconv/kernel", "depthwise"),
        _pixelwise(config, layout, i, f"{name}.pwconv2", f"{path}/pwconv2", hidden, width),
    ]


def _attention(
    config: MetaFormerConfig, layout: Layout, i: int, name: str, block: str
) -> list[Tensor]:
    width = config.widths[i]
    inner = attention_heads(width) * HEAD_WIDTH
    path = f"{block}/token_mixer"
    return [
        _pixelwise(config, layout, i, f"{name}.qkv", f"{path}/qkv", width, 3 * inner),
        _pixelwise(config, layout, i, f"{name}.proj", f"{path}/proj", inner, width),
    ]


# Function of (config, layout, stage, name of the mixer, path of the block) for each token mixer.
_MIXERS: dict[str, Callable[[MetaFormerConfig, Layout, int, str, str], list[Tensor]]] = {
    "pooling": _no_weights,
    "identity": _no_weights,
    "random": _random,
    "sep_conv": _sep_conv,
    "attention": _attention,
}


def _feature_norms(config: MetaFormerConfig, layout: Layout) -> list[Tensor]:
    table: list[Tensor] = []
    for i, (level, width) in enumerate(zip(config.levels, config.widths, strict=True)):
        if level in config.normed_levels:
            name, path = layout.feature_norm_name(i), feature_norm_path(i)
            table += norm(name, path, width, config.use_bias)
    return table


def _head(config: MetaFormerConfig, layout: Layout) -> list[Tensor]:
    inputs, hidden = config.widths[-1], config.head_width
    if not hidden:
        return affine(layout.head, "head", (config.num_classes, inputs), "linear")
    return [
        *affine(f"{layout.head}.fc1", "head_fc1", (hidden, inputs), "linear"),
        *norm(f"{layout.head}.norm", "head_mlp_norm", hidden),
        *affine(f"{layout.head}.fc2", "head", (config.num_classes, hidden), "linear"),
    ]


def _pixelwise(
    config: MetaFormerConfig,
    layout: Layout,
    i: int,
    name: str,
    path: str,
    inputs: int,
    outputs: int,
) -> Tensor:
    """The weight of a linear layer on each pixel, which is a 1x1 convolution in most libraries."""
    if config.token_mixers[i] in layout.linear_mixers:
        return Tensor(f"{name}.weight", (outputs, inputs), f"{path}/kernel", "pixelwise")
    return Tensor(f"{name}.weight", (outputs, inputs, 1, 1), f"{path}/kernel", "conv")
