"""Properties of a network that the tensors of its checkpoint do not determine."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_poolformer.checkpoints.checkpoint import Checkpoint
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.messages import shown

_ASSUMED_FIELDS = ("token_mixers", "norm", "pool_size", "activation", "strides", "paddings")
_ASSUMED_IN_SECOND_PAPER = ("norm", "norm_epsilon", "strides", "paddings")


@dataclass(frozen=True)
class Hint:
    """What the name of a file, or of the architecture in it, says of its network.

    Some of the authors' ablations have the tensor names and shapes of PoolFormer: a name is the
    only evidence.

    Args:
        names: Pattern of such names.
        field: Field of `MetaFormerConfig`.
        value: Value of the field.
        meaning: The value in words.
        otherwise: What to set if the name misleads.
    """

    names: re.Pattern[str]
    field: str
    value: str
    meaning: str
    otherwise: str


HINTS = (
    Hint(
        names=re.compile(r"(?<![a-z])(ln|layer_?norm(channel)?)(?![a-z])", re.IGNORECASE),
        field="norm",
        value="layer_norm",
        meaning="layer norm",
        otherwise="For group norm, set norm='group_norm' (--norm group_norm)",
    ),
    Hint(
        names=re.compile(r"(?<![a-z])metaformer_id(?![a-z])", re.IGNORECASE),
        field="token_mixers",
        value="identity",
        meaning="the token mixer identity",
        otherwise="For pooling, set token_mixers='pooling' (--architecture poolformer_s12)",
    ),
)


def name_hints(path: Path, checkpoint: Checkpoint) -> dict[str, tuple[str, str]]:
    """Returns {field of the config: (its value, why it is assumed)}.

    Args:
        path: Path of the file or directory of the weights.
        checkpoint: Checkpoint that was read from it.
    """
    return {
        hint.field: (
            hint.value,
            f"{hint.meaning} is assumed because of the name {shown(name)}; the weights cannot "
            f"tell. {hint.otherwise}",
        )
        for hint in HINTS
        for name in (checkpoint.architecture, path.name)  # the file's own name wins
        if hint.names.search(name)
    }


def assumed_fields(config: MetaFormerConfig) -> dict[str, Any]:
    """Returns the fields of a config, with their values, that tensors do not determine."""
    names: list[str] = list(_ASSUMED_IN_SECOND_PAPER if config.embedding_norm else _ASSUMED_FIELDS)
    if config.embedding_norm and "random" in config.token_mixers:
        names.insert(0, "token_mixers")
    if config.embedding_norm and "pooling" in config.token_mixers:
        names.append("pool_size")
    fields = config.to_dict()
    if len(mixers := set(config.token_mixers)) == 1:
        fields["token_mixers"] = mixers.pop()
    return {name: fields[name] for name in names}
