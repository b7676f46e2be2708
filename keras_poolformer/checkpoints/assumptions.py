"""Properties of a network that the tensors of its checkpoint do not determine."""

import re
from pathlib import Path
from typing import Any

from keras_poolformer.checkpoints.checkpoint import Checkpoint
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.messages import shown

_ASSUMED_FIELDS = ("norm", "pool_size", "activation", "strides", "paddings")
_ASSUMED_IN_SECOND_PAPER = ("norm", "norm_epsilon", "strides", "paddings")
_NAMES_LAYER_NORM = re.compile(r"(?<![a-z])(ln|layer_?norm(channel)?)(?![a-z])", re.IGNORECASE)


def layer_norm_hint(path: Path, checkpoint: Checkpoint) -> str | None:
    """Returns why a network is assumed to have layer norm, or None if there is no hint.

    The authors' ablation with layer norm has the tensor names and shapes of the network with
    group norm. The name of the file, or of the architecture in it, is the only evidence.

    Args:
        path: Path of the file or directory of the weights.
        checkpoint: Checkpoint that was read from it.
    """
    for name in (path.name, checkpoint.architecture):
        if _NAMES_LAYER_NORM.search(name):
            return (
                f"layer norm is assumed because of the name {shown(name)}; the weights cannot "
                "tell. For group norm, set norm='group_norm' (--norm group_norm)"
            )
    return None


def assumed_fields(config: MetaFormerConfig) -> dict[str, Any]:
    """Returns the fields of a config, with their values, that tensors do not determine."""
    names: list[str] = list(_ASSUMED_IN_SECOND_PAPER if config.embedding_norm else _ASSUMED_FIELDS)
    if config.embedding_norm and "random" in config.token_mixers:
        names.insert(0, "token_mixers")
    if config.embedding_norm and "pooling" in config.token_mixers:
        names.append("pool_size")
    fields = config.to_dict()
    return {name: fields[name] for name in names}
