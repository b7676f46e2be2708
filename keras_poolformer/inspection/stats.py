"""What a model costs at a resolution: parameters, multiply-accumulates, activations.

Counted as fvcore counts them for the model cards of timm and in the authors'
misc/mac_count_with_fvcore.py: convolutions, linear layers and the products of attention and random
mixing by their multiplications, and norms by 5 for each input element, fvcore's own estimate.
Elementwise operations and the pooling of the token mixer are free. In a segmenter, batch norms
count 2 for each element, and resizing 1 (nearest) or 4 (bilinear) for each of its result.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keras import layers

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import HEAD_WIDTH, attention_heads
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.classifier import MetaFormerImageClassifier
from keras_poolformer.models.resizing import BilinearDoubling, UpsampleLike
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.models.token_mixers import Attention, RandomMixing
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

MAX_SIDE = 65_536  # pixels; nothing is computed on them, only counted
# MACs for each element of an affine norm, "just a rough estimate" (fvcore, jit_handles.py)
NORM_COST = 5
BATCH_NORM_COST = 2
RESIZE_COSTS = {"nearest": 1, "bilinear": 4}  # for each element of the result
_NORMS = (layers.GroupNormalization, layers.LayerNormalization)
_KINDS = ("conv", "linear", "norm", "pool", "product", "resize")


@dataclass(frozen=True)
class RowStats:
    """The costs of one part of a network.

    Args:
        name: Name of the part: "stem", "stage 1" to "stage 4" (from the second on with the
            convolution that opens it), "neck" (of a segmenter) or "head".
        resolution: (height, width) of its output.
        width: Number of channels of its output.
        blocks: Number of blocks.
        params: Number of parameters.
        macs: Multiply-accumulates for one image.
        activations: Number of elements in the outputs of its convolutions and linear layers.
    """

    name: str
    resolution: tuple[int, int]
    width: int
    blocks: int
    params: int
    macs: int
    activations: int


@dataclass(frozen=True)
class Stats:
    """The costs of a network for one image.

    Args:
        size: (height, width) of the image.
        params: Number of parameters.
        macs: Multiply-accumulates.
        macs_by_kind: Multiply-accumulates of "conv", "linear", "norm", "pool", "product" (the
            products of attention and random mixing) and "resize".
        activations: Number of elements in the outputs of all convolutions and linear layers.
        rows: Costs of each part, from the image to the logits; they add up to the whole.
    """

    size: tuple[int, int]
    params: int
    macs: int
    macs_by_kind: dict[str, int]
    activations: int
    rows: tuple[RowStats, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values."""
        fields = dataclasses.asdict(self)
        rows = [vars(row) | {"resolution": list(row.resolution)} for row in self.rows]
        return fields | {"size": list(self.size), "rows": rows}


@dataclass
class _Cost:
    """What one call of a layer costs."""

    row: str
    kind: str
    macs: int
    activations: int
    output_shape: tuple[int, ...]


def model_stats(
    model_or_config: MetaFormerModel | MetaFormerConfig, size: int | Sequence[int] = 224
) -> Stats:
    """Counts the costs of a network along a symbolic call of it.

    Every layer of the model reports the shapes that it takes and returns; nothing is computed, so
    that any resolution takes the same few seconds.

    Args:
        model_or_config: Classifier, segmenter or backbone, or the config of one of the first two.
        size: Size of the image in pixels, one number or (height, width).

    Returns:
        The costs. `macs` are those of fvcore 0.1.5 for the PyTorch class with the same head: with
        pool_norm timm's, with norm_pool the authors', whose mean over H and W fvcore does not
        count.

    Raises:
        InputError: `size` is not a size, or is too small for the network.
    """
    if isinstance(model_or_config, MetaFormerConfig):
        config = model_or_config
        height, width = _checked_size(size, config)
        model = (MetaFormerSegmenter if config.is_segmenter else MetaFormerImageClassifier)(config)
    else:
        model = model_or_config
        config = model.config
        height, width = _checked_size(size, config)
    # A backbone's own output does not pass through the norms on its stages' outputs.
    has_norms = isinstance(model, MetaFormerBackbone) and config.normed_levels
    network: Any = model.feature_extractor() if has_norms else model
    with _costs_recorded(model) as costs:
        call = layers.Lambda(functools.partial(network, training=False))
        call.compute_output_shape((1, height, width, config.in_channels))
    by_kind = dict.fromkeys(_KINDS, 0)
    for cost in costs:
        if cost.kind:
            by_kind[cost.kind] += cost.macs
    return Stats(
        size=(height, width),
        params=_count_parameters(model),
        macs=sum(by_kind.values()),
        macs_by_kind=by_kind,
        activations=sum(cost.activations for cost in costs),
        rows=tuple(_row_stats(name, top, costs) for name, top in _parts(model).items()),
    )


def least_side(config: MetaFormerConfig) -> int:
    """Returns the smallest height and width in pixels that leave every stage at least one."""
    side = 1
    openings = zip(config.patch_sizes, config.strides, config.paddings, strict=True)
    for patch_size, stride, padding in reversed(list(openings)):
        side = max(1, (side - 1) * stride + patch_size - 2 * padding)
    return side


def _checked_size(size: Any, config: MetaFormerConfig) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, numbers.Integral) else size
    if config.image_side and sides not in ((config.image_side,) * 2, [config.image_side] * 2):
        raise InputError(
            f"`size` must be {config.image_side}, for which the random mixing was made. "
            f"Received: {shown(size)}"
        )
    least = least_side(config)
    is_pair = isinstance(sides, list | tuple) and len(sides) == 2
    if not is_pair or not all(_is_side(side, least) for side in sides):
        raise InputError(
            f"`size` must be a whole number of pixels from {least} to {MAX_SIDE}, or (height, "
            f"width). Received: {shown(size)}"
        )
    height, width = sides
    return int(height), int(width)


def _is_side(value: Any, least: int) -> bool:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_whole and least <= int(value) <= MAX_SIDE


def _parts(model: MetaFormerModel) -> dict[str, list[layers.Layer]]:
    """{row: the layers that belong to it}, in the order of the network."""
    backbone = getattr(model, "backbone", None)  # a backbone has none
    parts: dict[str, list[layers.Layer]] = {}
    norms = getattr(model, "feature_norm_layers", ())
    # The layers of a segmenter are those of its backbone and more.
    for layer in dict.fromkeys([*(backbone.layers if backbone else ()), *model.layers, *norms]):
        if layer is not backbone and not isinstance(layer, layers.InputLayer):
            parts.setdefault(_row_of(layer), []).append(layer)
    return parts


def _count_parameters(layer: Any) -> int:
    """Parameters of a layer or model: without running statistics, as PyTorch has it."""
    names = ("moving_mean", "moving_variance")
    return sum(math.prod(w.shape) for w in layer.weights if not w.path.endswith(names))


def _row_of(layer: layers.Layer) -> str:
    if layer.name == "stages_0_embedding":
        return "stem"
    if layer.name.startswith("stages_"):
        return f"stage {int(layer.name.split('_')[1]) + 1}"
    return "neck" if layer.name.startswith("neck_") else "head"


def _row_stats(name: str, part: list[layers.Layer], costs: list[_Cost]) -> RowStats:
    row_costs = [cost for cost in costs if cost.row == name]
    shape = row_costs[-1].output_shape
    return RowStats(
        name=name,
        resolution=(shape[1], shape[2]) if len(shape) == 4 else (1, 1),
        width=shape[-1],
        blocks=sum("_blocks_" in layer.name for layer in part),
        params=sum(map(_count_parameters, part)),
        macs=sum(cost.macs for cost in row_costs),
        activations=sum(cost.activations for cost in row_costs),
    )


@contextlib.contextmanager
def _costs_recorded(model: MetaFormerModel) -> Iterator[list[_Cost]]:
    """Yields a list that gets the cost of each call of an innermost layer, or of an attention."""
    costs: list[_Cost] = []
    hooked: list[layers.Layer] = []

    def hook(layer: layers.Layer, row: str) -> None:
        call = layer.call

        def recorded(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = call(inputs, *args, **kwargs)
            first = inputs[0] if isinstance(inputs, list) else inputs
            kind, macs, activations = _cost(layer, first.shape, outputs.shape, model.config)
            costs.append(_Cost(row, kind, macs, activations, tuple(outputs.shape)))
            return outputs

        layer.call = recorded
        hooked.append(layer)

    try:
        for row, part in _parts(model).items():
            for layer in part:
                # Private in Keras (here of 3.15): no public list has nested layers too.
                for inner in layer._flatten_layers():
                    is_innermost = not any(inner._flatten_layers(include_self=False))
                    if is_innermost or isinstance(inner, Attention):
                        hook(inner, row)
        yield costs
    finally:
        for layer in hooked:
            del layer.call


def _cost(
    layer: layers.Layer,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    config: MetaFormerConfig,
) -> tuple[str, int, int]:
    """(kind, multiply-accumulates, activations) of one call for one image."""
    outputs = math.prod(output_shape)
    tokens = math.prod(input_shape[1:-1])
    if isinstance(layer, layers.DepthwiseConv2D):
        return "conv", outputs * math.prod(layer.kernel_size), outputs
    if isinstance(layer, Attention):
        width = attention_heads(input_shape[-1]) * HEAD_WIDTH
        return "product", 2 * tokens**2 * width, 0  # scores, and what they weigh
    if isinstance(layer, RandomMixing):
        return "product", tokens**2 * input_shape[-1], 0
    if isinstance(layer, layers.Conv2D):
        kernel = math.prod(layer.kernel_size) * (input_shape[-1] // layer.groups)
        return "conv", outputs * kernel, outputs
    if isinstance(layer, layers.Dense):
        return "linear", outputs * input_shape[-1], outputs
    if isinstance(layer, layers.BatchNormalization):
        return "norm", BATCH_NORM_COST * outputs, 0
    if isinstance(layer, BilinearDoubling | UpsampleLike):
        kind = "bilinear" if isinstance(layer, BilinearDoubling) else layer.interpolation
        is_resized = input_shape != output_shape
        return "resize", RESIZE_COSTS[kind] * outputs * is_resized, 0
    if isinstance(layer, _NORMS):
        return "norm", NORM_COST * math.prod(input_shape), 0
    if isinstance(layer, layers.GlobalAveragePooling2D) and config.head == "pool_norm":
        return "pool", math.prod(input_shape), 0
    return "", 0, 0
