"""Reads the architecture of a network off the shapes of its tensors."""

import math
import re

from keras_poolformer.checkpoints import layouts
from keras_poolformer.config import VARIANTS, PoolFormerConfig
from keras_poolformer.support.errors import InputError


def infer_config(shapes, layout, base=None):
    """Reads the architecture off tensor shapes.

    What shapes cannot tell (pool size, strides, paddings, activation, rates) comes from
    `base`, or from the released variant of the same depths and widths, or is the default.

    Args:
        shapes: {tensor name: shape}, in the names of `layout`.
        layout: a `Layout`.
        base: fields of `PoolFormerConfig` that are known, as a dict, or None.

    Raises:
        InputError: a tensor that tells the architecture is missing or misshaped.
    """
    stages = 1
    while f"{layout.downsampling.format(i=stages, e=2 * stages - 1)}.weight" in shapes:
        stages += 1
    embeddings = [
        _shape(shapes, (layout.downsampling if i else layout.stem).format(i=i, e=2 * i - 1), 4)
        for i in range(stages)
    ]
    first_blocks = [layout.block.format(i=i, j=0, s=2 * i) for i in range(stages)]
    hidden = [_shape(shapes, f"{block}.{layout.fc1}", 4)[0] for block in first_blocks]
    widths = tuple(shape[0] for shape in embeddings)
    classifier = f"{layout.head}.weight"
    fields = {
        "depths": tuple(_depth(shapes, layout, i) for i in range(stages)),
        "widths": widths,
        "patch_sizes": tuple(shape[2] for shape in embeddings),
        "in_channels": embeddings[0][1],
        "mlp_ratio": _mlp_ratio(hidden, widths),
        "use_layer_scale": f"{first_blocks[0]}.{layout.layer_scale1}" in shapes,
        "num_classes": shapes[classifier][0] if shapes.get(classifier) else 0,
        "head": layout.head_kind,
        "feature_norms": _normed_levels(shapes, layout, stages),
    }
    released = _released(fields)
    if layout is not layouts.SAIL:
        # These libraries make the class without stochastic depth; the rates are the authors'.
        released.pop("drop_path_rate", None)
    return PoolFormerConfig(**(released | fields | (base or {})))


def _shape(shapes, module, rank):
    name = f"{module}.weight"
    if len(shapes.get(name, ())) != rank:
        raise InputError(
            f"the checkpoint must hold {name} with {rank} dimensions. "
            f"Received: {shapes.get(name, 'no such tensor')}"
        )
    return shapes[name]


def _normed_levels(shapes, layout, stages):
    names = {f"P{i + 2}": layout.feature_norm.format(s=2 * i) for i in range(stages)}
    return tuple(level for level, name in names.items() if name and f"{name}.weight" in shapes)


def _mlp_ratio(hidden, widths):
    """The roundest ratio r for which int(width * r) is the hidden width of every stage."""
    low = max(h / max(w, 1) for h, w in zip(hidden, widths, strict=True))
    candidates = [math.ceil(low * 10**digits) / 10**digits for digits in range(5)]
    for ratio in [*candidates, low, math.nextafter(low, math.inf)]:
        if all(int(w * ratio) == h for h, w in zip(hidden, widths, strict=True)):
            return float(ratio)
    return low  # no ratio fits: the comparison of shapes will name the tensor


def _depth(shapes, layout, i):
    pattern = re.escape(layout.block.format(i=i, j=0, s=2 * i))[:-1] + r"(\d{1,4})\."
    blocks = [int(match[1]) for match in (re.match(pattern, name) for name in shapes) if match]
    if not blocks:
        raise InputError(f"the checkpoint has no blocks in stage {i}: none matches {pattern}")
    return max(blocks) + 1


def _released(fields):
    for variant in VARIANTS.values():
        if (variant.depths, variant.widths) == (fields["depths"], fields["widths"]):
            return variant.to_dict()
    return {}
