"""What the tensors of a checkpoint do not tell about the function that a network computes."""

import re
import warnings
from typing import Any

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.support.messages import shown

_UNTOLD_FIELDS = ("norm", "pool_size", "activation", "strides", "paddings")
_NAMES_LAYER_NORM = re.compile(r"(?<![a-z])(ln|layer_?norm(channel)?)(?![a-z])", re.IGNORECASE)


def with_named_norm(
    config: PoolFormerConfig, source: Any, checkpoint: Any, overrides: dict
) -> PoolFormerConfig:
    """The config with layer norm, where a name beside the weights says so and nothing else does.

    The authors' ablation with layer norm has the names and shapes of tensors of the network with
    group norm. The name of the file or of the architecture in it is the only evidence there is.
    """
    names = (source.weights.name, checkpoint.architecture or "")
    hint = next((name for name in names if _NAMES_LAYER_NORM.search(name)), None)
    if source.config or hint is None or "norm" in overrides:
        return config
    warnings.warn(
        f"{source.name}: layer norm is assumed because of the name {shown(hint)}; the weights "
        "cannot tell. For group norm, say norm='group_norm' (--norm group_norm)",
        stacklevel=4,
    )
    return config.replace(norm="layer_norm")


def assumed_fields(source: Any, overrides: dict, config: PoolFormerConfig) -> dict[str, Any]:
    """Fields that neither the source's description nor its caller tells, nor the tensors can."""
    if source.config:  # a preset, or a config.json of a class that has one form alone
        return {}
    fields = config.to_dict()
    return {name: fields[name] for name in _UNTOLD_FIELDS if name not in overrides}
