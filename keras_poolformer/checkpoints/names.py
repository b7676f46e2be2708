"""The names that a model itself has for its tensors, without what was put around them."""

import math
import re

from keras_poolformer.checkpoints.layouts import BLOCKS, STEMS
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# Modules that wrap another one, whole networks or single layers: data parallelism,
# torch.compile, FSDP, activation checkpointing, Lightning's strategies.
WRAPPER_MODULES = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
     "_fpw_module", "_forward_module")
)  # fmt: skip
# Single numbers that profilers (thop) and averaging (SWA, EMA) keep among the weights.
COUNTERS = frozenset(
    ("total_ops", "total_params", "n_averaged", "num_updates", "initted", "step", "steps")
)
MAX_NAME = 1000  # characters
_MAX_NETWORKS = 16
_FEATURES_ONLY = re.compile(r"^stages_(\d)\.")  # of timm's features_only=True
_FEATURE_NORM = re.compile(r"^norm(\d)\.(weight|bias)$")


def unwrapped_names(shapes, path):
    """Strips the modules that only wrap others, and leaves counters out.

    Args:
        shapes: {name in the file: shape}.
        path: Name of the file, for messages.

    Returns:
        {name in the file: name without wrappers}.

    Raises:
        InputError: Two names become the same, or one is absurdly long.
    """
    if long := next((name for name in shapes if len(name) > MAX_NAME), None):
        raise InputError(f"{path} holds a tensor named {shown(long)}: too long a name")
    names, owners = {}, {}
    for name, shape in shapes.items():
        parts = name.split(".")
        if parts[-1] in COUNTERS and math.prod(shape) == 1:
            continue
        bare = ".".join(part for part in parts if part not in WRAPPER_MODULES)
        if bare in owners:
            raise InputError(
                f"{path} holds {shown(bare)} twice, once as {shown(owners[bare])} and once as "
                f"{shown(name)}: save only one of the models"
            )
        names[name], owners[bare] = bare, name
    return names


def network_prefixes(names):
    """Returns what stands before the names of each network that is recognized by its stem."""
    unwrapped = {".".join(p for p in n.split(".") if p not in WRAPPER_MODULES) for n in names}
    found = []
    for name in unwrapped:
        stem = next((s for s in STEMS if name == s or name.endswith(f".{s}")), None)
        if stem is not None:
            found.append(name.removesuffix(stem))
    found = sorted(found)[:_MAX_NETWORKS]
    if len(found) > 1:  # other networks have stems of the same names
        blocks = {prefix: tuple(f"{prefix}{block}" for block in BLOCKS) for prefix in found}
        found = [p for p in found if any(name.startswith(blocks[p]) for name in unwrapped)]
    return found


def model_names(names, prefix):
    """Gives the tensors of one network the names of its layout.

    Args:
        names: Names without wrappers.
        prefix: Of the network, as `network_prefixes` finds it.

    Returns:
        {name: name in the layout}. Names elsewhere, such as those of a detector's neck, are left
        out; the head of an OpenMMLab classifier, which stands beside the backbone, is not.
    """
    bare = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    bare = {name: _FEATURES_ONLY.sub(r"stages.\1.", text) for name, text in bare.items()}
    head = {name for name in ("head.fc.weight", "head.fc.bias") if prefix and name in names}
    own_head = any(text.startswith(("norm.", "head.")) for text in bare.values())
    if not head or own_head:
        return bare
    bare |= {name: name.replace("head.fc.", "head.") for name in head}
    stages = [int(match[1]) for text in bare.values() if (match := _FEATURE_NORM.match(text))]
    last = f"norm{max(stages, default=0)}."
    return {
        name: f"norm.{text.removeprefix(last)}" if text.startswith(last) else text
        for name, text in bare.items()
    }
