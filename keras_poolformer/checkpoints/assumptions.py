"""Properties of a network that the tensors of its checkpoint do not determine."""

import re
import warnings
from collections.abc import Collection
from typing import Any, Protocol

from keras_poolformer.checkpoints.checkpoint import Checkpoint
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.support.messages import shown

_UNDETERMINED_FIELDS = ("norm", "pool_size", "activation", "strides", "paddings")
_NAMES_LAYER_NORM = re.compile(r"(?<![a-z])(ln|layer_?norm(channel)?)(?![a-z])", re.IGNORECASE)


class DescribedSource(Protocol):
    """A source of weights, with what is known about them."""

    @property
    def name(self) -> str:
        """Name of the source, for messages."""
        ...

    @property
    def weights(self) -> Any:
        """Path of the weights."""
        ...

    @property
    def config(self) -> Any:
        """Known fields of `PoolFormerConfig`."""
        ...


def with_named_norm(
    config: PoolFormerConfig,
    source: DescribedSource,
    checkpoint: Checkpoint,
    overrides: Collection[str],
) -> PoolFormerConfig:
    """Returns the config with layer norm, where only a name says that the network has it.

    The authors' ablation with layer norm has tensors of the same names and shapes as the network
    with group norm. The name of the file, or of the architecture in it, is the only evidence.

    Args:
        config: Architecture as it was inferred.
        source: Source of the weights.
        checkpoint: Checkpoint that was read from it.
        overrides: Names of the fields that the caller sets.
    """
    names = (source.weights.name, checkpoint.architecture or "")
    hint = next((name for name in names if _NAMES_LAYER_NORM.search(name)), None)
    if source.config or hint is None or "norm" in overrides:
        return config
    warnings.warn(
        f"{source.name}: layer norm is assumed because of the name {shown(hint)}; the weights "
        "cannot tell. For group norm, set norm='group_norm' (--norm group_norm)",
        stacklevel=4,
    )
    return config.replace(norm="layer_norm")


def assumed_fields(
    source: DescribedSource, overrides: Collection[str], config: PoolFormerConfig
) -> dict[str, Any]:
    """Returns the fields that neither tensors, nor the source's description, nor the caller set.

    Args:
        source: Source of the weights.
        overrides: Names of the fields that the caller sets.
        config: Architecture of the model.
    """
    if source.config:  # a preset, or a config.json of a class that has only one form
        return {}
    fields = config.to_dict()
    return {name: fields[name] for name in _UNDETERMINED_FIELDS if name not in overrides}
