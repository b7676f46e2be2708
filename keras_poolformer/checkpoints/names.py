"""Names of tensors as a network's layout has them, without what other software put around them."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from keras_poolformer.checkpoints.layouts import BLOCKS, HF, STEMS
from keras_poolformer.checkpoints.segmenter_tensors import (
    BATCH_COUNT,
    DECODE_HEAD,
    NECK,
    is_segmenter,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# Modules that wrap another one, whole networks or single layers: data parallelism,
# torch.compile, FSDP, activation checkpointing, Lightning's strategies.
WRAPPER_MODULES = frozenset(
    {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_fpw_module",
        "_forward_module",
    }
)
# Single numbers that profilers (thop), averaging (SWA, EMA) and batch norms keep among the weights.
COUNTERS = frozenset(
    {
        "total_ops",
        "total_params",
        "n_averaged",
        "num_updates",
        "initted",
        "step",
        "steps",
        BATCH_COUNT,
    }
)
MAX_NAME = 1000  # characters
_MAX_NETWORKS = 16
_FEATURES_ONLY = re.compile(r"^stages_(\d)\.")  # of timm's features_only=True
_FEATURE_NORM = re.compile(r"^norm(\d)\.(weight|bias)$")
_MM_BACKBONE = "backbone."  # of OpenMMLab's networks
_HF_ROOT = HF.stem.split(".")[0]  # missing from the names of transformers' PoolFormerModel
_HF_ENCODER = HF.stem.split(".")[1]


def unwrapped_names(shapes: Mapping[str, tuple[int, ...]], path: Path) -> dict[str, str]:
    """Strips the modules that only wrap others, and leaves counters out.

    Args:
        shapes: {name in the file: shape}.
        path: Path of the file, for messages.

    Returns:
        {name in the file: name without wrappers}.

    Raises:
        InputError: Two names become the same, or one is absurdly long.
    """
    if long := next((name for name in shapes if len(name) > MAX_NAME), None):
        raise InputError(f"{path} holds a tensor named {shown(long)}: too long a name")
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name, shape in shapes.items():
        if name.split(".")[-1] in COUNTERS and math.prod(shape) == 1:
            continue
        bare = _unwrapped(name)
        if bare in owners:
            raise InputError(
                f"{path} holds {shown(bare)} twice, once as {shown(owners[bare])} and once as "
                f"{shown(name)}: save only one of the models"
            )
        names[name], owners[bare] = bare, name
    return names


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPER_MODULES)


def network_prefixes(names: Iterable[str]) -> list[str]:
    """Returns the prefix of each network that is recognized by its stem, sorted.

    Args:
        names: Names of tensors, with or without wrappers.
    """
    unwrapped = {_unwrapped(name) for name in names}
    found: list[str] = []
    for name in unwrapped:
        stem = next((stem for stem in STEMS if name == stem or name.endswith(f".{stem}")), None)
        if stem is not None:
            found.append(name.removesuffix(stem))
    found = sorted(found)[:_MAX_NETWORKS]
    if len(found) > 1:  # other networks have stems of the same names
        blocks = {prefix: tuple(f"{prefix}{block}" for block in BLOCKS) for prefix in found}
        found = [p for p in found if any(name.startswith(blocks[p]) for name in unwrapped)]
    return found


def model_names(names: Collection[str], prefix: str) -> dict[str, str]:
    """Gives the tensors of one network the names of its layout.

    Args:
        names: Names without wrappers.
        prefix: Prefix of the network, as `network_prefixes` finds it.

    Returns:
        {name: name in the layout}. Names elsewhere, such as those of a detector's neck, are left
        out; the head of an OpenMMLab classifier, and neck and head of a segmenter, which are
        outside its backbone, are not.
    """
    root = prefix.removesuffix(_MM_BACKBONE)
    parts = tuple(f"{root}{part}" for part in (_MM_BACKBONE, NECK, DECODE_HEAD))
    segmenter = {name: name.removeprefix(root) for name in names if name.startswith(parts)}
    if is_segmenter(segmenter.values()):
        return segmenter
    layout_names = {
        name: _layout_name(name.removeprefix(prefix)) for name in names if name.startswith(prefix)
    }
    head = {name for name in ("head.fc.weight", "head.fc.bias") if prefix and name in names}
    has_head = any(name.startswith(("norm.", "head.")) for name in layout_names.values())
    if not head or has_head:
        return layout_names
    layout_names |= {name: name.replace("head.fc.", "head.") for name in head}
    matches = map(_FEATURE_NORM.match, layout_names.values())
    last = f"norm{max((int(match[1]) for match in matches if match), default=0)}."
    return {
        name: f"norm.{text.removeprefix(last)}" if text.startswith(last) else text
        for name, text in layout_names.items()
    }


def _layout_name(name: str) -> str:
    """The name that a whole classifier has, for one of a backbone of timm or transformers."""
    if name.startswith(f"{_HF_ENCODER}."):
        return f"{_HF_ROOT}.{name}"
    return _FEATURES_ONLY.sub(r"stages.\1.", name)
