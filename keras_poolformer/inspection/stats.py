"""What a model costs at a resolution: parameters, multiply-accumulates, activations.

Counted as fvcore counts them for the model cards of timm and in the authors'
misc/mac_count_with_fvcore.py: convolutions and linear layers by their multiplications, and
5 for each element that a norm takes, by fvcore's own estimate. What is elementwise, the
pooling of the token mixer among it, costs nothing there.
"""

import contextlib
import dataclasses
import functools
import math
import numbers
from dataclasses import dataclass

from keras import layers

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError

MAX_SIDE = 65_536  # pixels; nothing is computed on them, only counted
NORM_COST = 5  # of an element of an affine norm, "just a rough estimate" (fvcore, jit_handles.py)
_NORMS = (layers.GroupNormalization, layers.LayerNormalization)


@dataclass(frozen=True)
class RowStats:
    """The costs of one part of a network.

    Args:
        name: "stem", "stage 1" to "stage 4" (from the second on with the convolution that
            opens it) or "head".
        resolution: (height, width) of what it returns.
        width: channels of what it returns.
        blocks: PoolFormer blocks in it.
        params: numbers in its weights.
        macs: multiply-accumulates for one image.
        activations: elements of the outputs of its convolutions and linear layers.
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
        params: numbers in its weights.
        macs: multiply-accumulates.
        macs_by_kind: the same of "conv", "linear", "norm" and "pool".
        activations: elements of the outputs of all convolutions and linear layers.
        rows: a `RowStats` for each part, from the image to the logits; they add up to the
            whole.
    """

    size: tuple[int, int]
    params: int
    macs: int
    macs_by_kind: dict[str, int]
    activations: int
    rows: tuple[RowStats, ...]

    def to_dict(self):
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


def model_stats(model_or_config, size=224):
    """Counts the costs of a network, along a symbolic call of it.

    Every layer of the model is asked for the shapes that it really takes and returns;
    nothing is computed, so that any resolution takes the same few seconds.

    Args:
        model_or_config: a `PoolFormerImageClassifier`, a `PoolFormerBackbone`, or a
            `PoolFormerConfig`, which is taken for the classifier.
        size: of the image in pixels, one number or (height, width).

    Returns:
        A `Stats`. Its `macs` are those of fvcore 0.1.5 for the PyTorch class that has the
        same head: with pool_norm for timm's, with norm_pool for the authors', whose mean
        over H and W fvcore does not count.

    Raises:
        InputError: `size` is no size, or too small for the network.
    """
    model = model_or_config
    config = model if isinstance(model, PoolFormerConfig) else model.config
    height, width = _checked_size(size, config)
    if model is config:
        model = PoolFormerImageClassifier(config)
    # Norms on the stages' outputs are not on the way to a backbone's own output.
    network = model.feature_extractor() if config.normed_levels else model
    with _costs_recorded(model) as costs:
        call = layers.Lambda(functools.partial(network, training=False))
        call.compute_output_shape((1, height, width, config.in_channels))
    by_kind = dict.fromkeys(("conv", "linear", "norm", "pool"), 0)
    for cost in costs:
        if cost.kind:
            by_kind[cost.kind] += cost.macs
    return Stats(
        size=(height, width),
        params=model.count_params(),
        macs=sum(by_kind.values()),
        macs_by_kind=by_kind,
        activations=sum(cost.activations for cost in costs),
        rows=tuple(_row_stats(name, top, costs) for name, top in _parts(model).items()),
    )


def least_side(config):
    """The smallest height and width, in pixels, that leave every stage a pixel."""
    side = 1
    openings = zip(config.patch_sizes, config.strides, config.paddings, strict=True)
    for patch_size, stride, padding in reversed(list(openings)):
        side = max(1, (side - 1) * stride + patch_size - 2 * padding)
    return side


def _checked_size(size, config):
    sides = (size, size) if isinstance(size, numbers.Integral) else size
    least = least_side(config)
    plain = isinstance(sides, list | tuple) and len(sides) == 2
    if not plain or not all(_is_side(side, least) for side in sides):
        raise InputError(
            f"`size` must be a whole number of pixels from {least} to {MAX_SIDE}, or two, height "
            f"and width. Received: {repr(size)[:80]}"
        )
    return tuple(map(int, sides))


def _is_side(value, least):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and least <= int(value) <= MAX_SIDE


def _parts(model):
    """{row: the layers that belong to it}, in the order of the network."""
    backbone = getattr(model, "backbone", None)  # a backbone has none
    parts = {}
    norms = getattr(model, "feature_norm_layers", ())
    for layer in [*(backbone.layers if backbone else ()), *model.layers, *norms]:
        if layer is not backbone and not isinstance(layer, layers.InputLayer):
            parts.setdefault(_row_of(layer), []).append(layer)
    return parts


def _row_of(layer):
    if layer.name == "stages_0_embedding":
        return "stem"
    if layer.name.startswith("stages_"):
        return f"stage {int(layer.name.split('_')[1]) + 1}"
    return "head"


def _row_stats(name, part, costs):
    own = [cost for cost in costs if cost.row == name]
    *resolution, width = own[-1].output_shape[1:]
    return RowStats(
        name=name,
        resolution=tuple(resolution) or (1, 1),
        width=width,
        blocks=sum("_blocks_" in layer.name for layer in part),
        params=sum(layer.count_params() for layer in part),
        macs=sum(cost.macs for cost in own),
        activations=sum(cost.activations for cost in own),
    )


@contextlib.contextmanager
def _costs_recorded(model):
    """Yields a list that gets the `_Cost` of each call of an innermost layer of the model."""
    costs, hooked = [], []

    def hook(layer, row):
        call = layer.call

        def recorded(inputs, *args, **kwargs):
            outputs = call(inputs, *args, **kwargs)
            kind, macs, activations = _cost(layer, inputs.shape, outputs.shape, model.config)
            costs.append(_Cost(row, kind, macs, activations, tuple(outputs.shape)))
            return outputs

        layer.call = recorded
        hooked.append(layer)

    try:
        for row, part in _parts(model).items():
            for layer in part:
                for inner in layer._flatten_layers():
                    if not any(inner._flatten_layers(include_self=False)):
                        hook(inner, row)
        yield costs
    finally:
        for layer in hooked:
            del layer.call


def _cost(layer, input_shape, output_shape, config):
    """(kind, multiply-accumulates, activations) of one call for one image."""
    outputs = math.prod(output_shape)
    if isinstance(layer, layers.Conv2D):
        kernel = math.prod(layer.kernel_size) * (input_shape[-1] // layer.groups)
        return "conv", outputs * kernel, outputs
    if isinstance(layer, layers.Dense):
        return "linear", outputs * input_shape[-1], outputs
    if isinstance(layer, _NORMS):
        return "norm", NORM_COST * math.prod(input_shape), 0
    if isinstance(layer, layers.GlobalAveragePooling2D) and config.head == "pool_norm":
        return "pool", math.prod(input_shape), 0
    return "", 0, 0
