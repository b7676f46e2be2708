"""Infers the architecture of a network from the shapes of its tensors."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_poolformer.checkpoints import second_paper
from keras_poolformer.checkpoints.layouts import HF, MMSEG, TIMM, Layout
from keras_poolformer.checkpoints.segmenter_tensors import FIRST_LATERAL, FIRST_SCALE
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEGMENTER_DROPOUT_RATE
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS, find_variant

Shapes = Mapping[str, tuple[int, ...]]


def infer_config(
    shapes: Shapes,
    layout: Layout,
    base: Mapping[str, Any] | None = None,
    architecture: str = "",
) -> MetaFormerConfig:
    """Infers the architecture from shapes of tensors.

    What shapes do not determine (pool size, strides, paddings, activation, rates) comes from
    `base`, or from the released variant of the same depths and widths, or is the default.

    Args:
        shapes: {tensor name: shape}, with the names of `layout`.
        layout: Layout of the names.
        base: Fields of `MetaFormerConfig` that are known, or None.
        architecture: Name of the variant that the file states, as training scripts save it, or
            "".

    Raises:
        InputError: A tensor that determines the architecture is missing or has the wrong rank, or
            the tensors fit several networks and `base` does not say which.
    """
    stages = _count_stages(shapes, layout)
    known = dict(base or {})
    embeddings = [_shape(shapes, layout.embedding_name(i), (4,)) for i in range(stages)]
    first_blocks = [layout.block_name(i, 0) for i in range(stages)]
    stated = VARIANTS.get(architecture.partition(".")[0])  # timm's names have a tag after the dot
    hidden = [_shape(shapes, f"{block}.{layout.fc1}", (2, 4))[0] for block in first_blocks]
    widths = tuple(shape[0] for shape in embeddings)
    fields: dict[str, Any] = {
        "depths": tuple(_depth(shapes, layout, i) for i in range(stages)),
        "widths": widths,
        "patch_sizes": tuple(shape[2] for shape in embeddings),
        "in_channels": embeddings[0][1],
        "mlp_ratio": _mlp_ratio(hidden, widths),
        "use_bias": f"{first_blocks[0]}.{layout.norm1}.bias" in shapes,
        "use_layer_scale": f"{first_blocks[0]}.{layout.layer_scale1}" in shapes,
        "feature_norms": _normed_levels(shapes, layout, stages),
        **_head(shapes, layout, widths[-1]),
        **second_paper.fields(
            shapes,
            layout,
            first_blocks,
            known.get("token_mixers"),
            stated.token_mixers if stated and stated.embedding_norm else (),
        ),
    }
    released = _released_fields(fields)
    if layout in (TIMM, HF, MMSEG):
        # These libraries build the class without stochastic depth; the rates are the authors'.
        released.pop("drop_path_rate", None)
    return MetaFormerConfig(**(released | fields | known))


def _head(shapes: Shapes, layout: Layout, width: int) -> dict[str, Any]:
    classifier = shapes.get(f"{layout.classifier_name(shapes)}.weight")
    fields: dict[str, Any] = {
        "num_classes": classifier[0] if classifier else 0,
        "head": layout.head_kind,
    }
    if layout is MMSEG:
        fields |= {
            "neck_width": _first_axis(shapes, FIRST_LATERAL),
            "segmentation_width": _first_axis(shapes, FIRST_SCALE),
            "head_dropout_rate": SEGMENTER_DROPOUT_RATE,
        }
    if hidden := shapes.get(f"{layout.head}.fc1.weight"):
        fields |= {
            "head_mlp_ratio": _mlp_ratio(hidden[:1], (width,)),
            "head_norm_epsilon": layout.head_norm_epsilon,
        }
    return fields


def _first_axis(shapes: Shapes, name: str) -> int:
    return _shape(shapes, name.removesuffix(".weight"), (4,))[0]


def _count_stages(shapes: Shapes, layout: Layout) -> int:
    stages = 1
    while f"{layout.embedding_name(stages)}.weight" in shapes:
        stages += 1
    return stages


def _shape(shapes: Shapes, module: str, ranks: tuple[int, ...]) -> tuple[int, ...]:
    name = f"{module}.weight"
    if len(shapes.get(name, ())) not in ranks:
        raise InputError(
            f"the checkpoint must hold {name} with {' or '.join(map(str, ranks))} dimensions. "
            f"Received: {shapes.get(name, 'no such tensor')}"
        )
    return shapes[name]


def _normed_levels(shapes: Shapes, layout: Layout, stages: int) -> tuple[str, ...]:
    names = {f"P{i + 2}": layout.feature_norm_name(i) for i in range(stages)}
    return tuple(level for level, name in names.items() if name and f"{name}.weight" in shapes)


def _mlp_ratio(hidden: Sequence[int], widths: Sequence[int]) -> float:
    """The roundest ratio r for which int(width * r) is the hidden width of every stage."""
    low = max(h / max(w, 1) for h, w in zip(hidden, widths, strict=True))
    candidates = [math.ceil(low * 10**digits) / 10**digits for digits in range(5)]
    for ratio in [*candidates, low, math.nextafter(low, math.inf)]:
        if all(int(w * ratio) == h for h, w in zip(hidden, widths, strict=True)):
            return float(ratio)
    return low  # no ratio fits: the comparison of shapes will name the tensor


def _depth(shapes: Shapes, layout: Layout, stage: int) -> int:
    prefix = re.escape(layout.block_name(stage, 0)).removesuffix("0")
    pattern = re.compile(prefix + r"(\d{1,4})\.")
    blocks = [int(match[1]) for match in map(pattern.match, shapes) if match]
    if not blocks:
        raise InputError(
            f"the checkpoint has no blocks in stage {stage}: none matches {pattern.pattern}"
        )
    return max(blocks) + 1


def _released_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the released variant with these depths, widths and mixers, if there is one."""
    name = find_variant(fields)
    return VARIANTS[name].to_dict() if name else {}
