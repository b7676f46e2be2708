"""Loads PyTorch checkpoints into a model, by the paths of its variables.

Loading is strict: unless both sets of names and all shapes are equal, nothing is assigned. The
model is never imported; it only needs `config`, `weights` and `provenance`.
"""

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.checkpoint import Checkpoint, read_checkpoint
from keras_poolformer.checkpoints.layouts import Layout, Tensor
from keras_poolformer.checkpoints.model_protocol import Model
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.config import MAX_STAGES, PoolFormerConfig
from keras_poolformer.lineage import origin_lines, untrained_provenance
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import listed
from keras_poolformer.support.untyped import is_list

# Far beyond any trained weight, far below what a flipped exponent bit makes of one.
LARGEST_WEIGHT = 1e6
_MAX_IGNORED = 50  # names in a report


@dataclass(frozen=True)
class LoadReport:
    """What was loaded, and from which file."""

    source: str
    sha256: str
    layout: str
    head: str  # head that the model computes
    wrapper: str  # entry of the checkpoint that held the weights, "" for none
    dtype: str  # dtype of the tensors in the file
    tensors: int  # number of tensors that were loaded
    parameters: int  # number of weights in them
    new_tensors: tuple[str, ...]  # variables that keep their initial values
    unused_tensors: tuple[str, ...]  # head or norms of the checkpoint that the model lacks
    prefix: str = ""  # prefix of the network's names in the checkpoint
    assumed: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])  # no file sets them
    ignored_tensors: tuple[str, ...] = ()  # outside the network, such as a detector's neck

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return {
            name: list(value) if is_list(value) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self) -> str:
        return "\n".join(origin_lines(self.to_dict()))


def load_torch_weights(
    model: Model, path: str | os.PathLike[str], layout: str | None = None
) -> LoadReport:
    """Loads a PyTorch checkpoint into a PoolFormer.

    Args:
        model: `PoolFormerImageClassifier` or `PoolFormerBackbone`; a backbone loads the
            checkpoint's backbone and ignores its head.
        path: Path of a .pth, .pth.tar, .bin or .safetensors file, or of a directory with such a
            file.
        layout: "sail", "timm" or "hf"; inferred from the names in the checkpoint by default.

    Returns:
        A report, which also becomes the model's provenance.

    Raises:
        InputError: The file is corrupt, would run code, or does not hold exactly the model's
            tensors; the model is then unchanged.
    """
    return load_checkpoint(model, read_checkpoint(path), layout)


def load_checkpoint(
    model: Model,
    checkpoint: Checkpoint,
    layout: str | None = None,
    new_classifier: bool = False,
    config: PoolFormerConfig | None = None,
) -> LoadReport:
    """Loads a checkpoint that was read already; see `load_torch_weights`.

    Args:
        model: Model to load into.
        checkpoint: Checkpoint to load.
        layout: Name of the layout; inferred by default.
        new_classifier: Whether the model's last linear layer keeps its initial weights, and the
            checkpoint's, with another number of classes or absent, are ignored.
        config: Architecture of the part that the checkpoint fills, where that is not the whole
            model.
    """
    refuse_quantized(model)
    source = str(checkpoint.paths[0])
    tensors = checkpoint.tensors
    names = layouts.get_layout(layout) if layout else layouts.detect_layout(tensors)
    variables = {variable.path: variable for variable in model.weights}
    table = layouts.expected_tensors(config or model.config, names)
    table = [tensor for tensor in table if tensor.path in variables]
    new = [tensor for tensor in table if new_classifier and _is_new(tensor, tensors)]
    wanted = [tensor for tensor in table if tensor not in new]
    unused = _unused(tensors, wanted, names)
    _check_names(source, names, wanted, set(tensors) - unused)
    arrays = {tensor.path: _checked(source, tensor, tensors[tensor.name]) for tensor in wanted}

    for path, array in arrays.items():
        variables[path].assign(array)
    report = LoadReport(
        source=checkpoint.paths[0].name,
        sha256=checkpoint.sha256,
        layout=names.name,
        head=model.config.head,
        wrapper=checkpoint.wrapper,
        dtype=", ".join(sorted(set(checkpoint.dtypes.values()))),
        tensors=len(arrays),
        parameters=sum(array.size for array in arrays.values()),
        new_tensors=tuple(path for path in variables if path not in arrays),
        unused_tensors=tuple(sorted(unused)),
        prefix=checkpoint.prefix,
        ignored_tensors=_abridged(checkpoint.ignored),
    )
    model.provenance = untrained_provenance(model.provenance) | report.to_dict()
    return report


def _is_new(tensor: Tensor, tensors: Collection[str]) -> bool:
    if tensor.is_classifier:
        return True
    return tensor.is_head and tensor.name not in tensors


def _unused(
    tensors: Mapping[str, np.ndarray], wanted: Sequence[Tensor], layout: Layout
) -> set[str]:
    """Returns the checkpoint's tensors after the backbone that the model lacks."""
    modules = [layout.head, layout.head_norm]
    if layout.feature_norm:
        modules += [layout.feature_norm_name(stage) for stage in range(MAX_STAGES)]
    heads = {f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")}
    unwanted = set(tensors) - {tensor.name for tensor in wanted}
    return heads & unwanted


def _check_names(
    source: str, layout: Layout, wanted: Sequence[Tensor], names: AbstractSet[str]
) -> None:
    """Raises InputError unless the names are those of the wanted tensors."""
    expected = {tensor.name for tensor in wanted}
    missing = sorted(expected - names)
    extra = sorted(names - expected)
    parts: list[str] = []
    if missing:
        backbone = {tensor.name for tensor in wanted if not tensor.is_head}
        has_backbone = backbone.isdisjoint(missing)
        hint = " (without a head it loads as a backbone)" if has_backbone else ""
        parts.append(f"lacks {listed(missing)}{hint}")
    if extra:
        parts.append(f"holds {listed(extra)}, which the model has no place for")
    if parts:
        raise InputError(f"{source} (layout {layout.name}) {' and '.join(parts)}")


def _abridged(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the first names, and how many more there are, as in a whole detector."""
    rest = len(names) - _MAX_IGNORED
    return names if rest <= 0 else (*names[:_MAX_IGNORED], f"and {rest} more")


def _checked(source: str, tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """Returns the array in Keras' axes, in float32 or wider, or raises an error with its name."""
    if array.shape != tensor.shape:
        raise InputError(
            f"{source}: {tensor.name} must have shape {tensor.shape}. Received: {array.shape}"
        )
    if array.dtype.kind != "f":
        raise InputError(
            f"{source}: {tensor.name} must hold floating-point numbers. Received: {array.dtype}"
        )
    extreme = max(abs(float(array.max())), abs(float(array.min())))  # NaN stays NaN
    if not extreme <= LARGEST_WEIGHT:
        raise InputError(
            f"{source}: {tensor.name} must hold finite weights. Received: a value of "
            f"{extreme:g}, so the file is corrupt or its training diverged"
        )
    precision = np.promote_types(array.dtype, np.float32)
    return array.transpose(layouts.TO_KERAS[tensor.role]).astype(precision, copy=False)
