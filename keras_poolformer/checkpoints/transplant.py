"""Loads PyTorch checkpoints into a model, by the paths of its variables.

Loading is strict: unless both sets of names and all shapes are equal, nothing is assigned. No
model class is imported; `model_protocol` says what a model needs.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.checkpoint import Checkpoint, read_checkpoint
from keras_poolformer.checkpoints.layouts import MMSEG, Layout, Tensor
from keras_poolformer.checkpoints.model_protocol import Model
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.checkpoints.segmenter_tensors import DECODE_HEAD, NECK
from keras_poolformer.checkpoints.tensors import expected_tensors
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import MAX_STAGES
from keras_poolformer.lineage import origin_lines
from keras_poolformer.provenance import Provenance, WeightsFile
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import listed
from keras_poolformer.support.untyped import is_list

# Far beyond any trained weight, far below what a flipped exponent bit makes of one.
LARGEST_WEIGHT = 1e6
_MAX_IGNORED = 50  # names in a report


@dataclass(frozen=True, kw_only=True)
class NamedTensors:
    """The tensors of a checkpoint and the layout of their names.

    Args:
        path: Path of the weights, for errors.
        layout: Layout of the names.
        tensors: {name in the layout: array}.
        file: Record of the checkpoint.
    """

    path: Path
    layout: Layout
    tensors: Mapping[str, np.ndarray]
    file: WeightsFile


@dataclass(frozen=True, kw_only=True)
class LoadReport(WeightsFile):
    """What was loaded, and from which file: a `WeightsFile` and two more fields.

    Args:
        source: Name of the file.
        new_tensors: Variables that keep their initial values.
    """

    source: str
    new_tensors: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values, without what is not known."""
        return {
            name: list(value) if is_list(value) else value
            for name, value in dataclasses.asdict(self).items()
            if value is not None
        }

    def __str__(self) -> str:
        return "\n".join(origin_lines(Provenance.of(self.to_dict())))


def load_torch_weights(
    model: Model, path: str | os.PathLike[str], layout: str | None = None
) -> LoadReport:
    """Loads a PyTorch checkpoint into a PoolFormer.

    Args:
        model: `MetaFormerImageClassifier`, `MetaFormerSegmenter` or `MetaFormerBackbone`; a
            backbone loads the checkpoint's backbone and ignores its head.
        path: Path of a .pth, .pth.tar, .bin or .safetensors file, or of a directory with such a
            file.
        layout: "sail", "timm", "hf", "metaformer" or "mmseg"; by default inferred from the
            tensors' names.

    Returns:
        A report. The model's `provenance` records the same.

    Raises:
        InputError: The file is corrupt, would run code, or does not hold exactly the model's
            tensors; the model is then unchanged.
    """
    refuse_quantized(model)
    named = name_tensors(read_checkpoint(path), layout)
    weights, new_tensors = assign_tensors(model, named)
    model.provenance = model.provenance.replace(
        source=named.path.name,
        weights=weights,
        new_tensors=new_tensors,
        adapted_tensors=(),
        training=None,
    )
    return LoadReport(source=named.path.name, new_tensors=new_tensors, **vars(weights))


def name_tensors(checkpoint: Checkpoint, layout: str | None = None) -> NamedTensors:
    """Finds the layout of a checkpoint's tensors.

    Args:
        checkpoint: Checkpoint as it was read.
        layout: Name of its layout, or None to infer it from the tensors' names.

    Raises:
        InputError: The layout is unknown, or the checkpoint is of another network.
    """
    found = layouts.get_layout(layout) if layout else layouts.detect_layout(checkpoint.tensors)
    file = WeightsFile(
        sha256=checkpoint.sha256,
        layout=found.name,
        wrapper=checkpoint.wrapper,
        prefix=checkpoint.prefix,
        dtype=", ".join(sorted(set(checkpoint.dtypes.values()))),
        ignored_tensors=_abridged(checkpoint.ignored),
        batch_count=checkpoint.batch_count,
    )
    return NamedTensors(
        path=checkpoint.paths[0], layout=found, tensors=checkpoint.tensors, file=file
    )


def assign_tensors(
    model: Model,
    named: NamedTensors,
    new_classifier: bool = False,
    config: MetaFormerConfig | None = None,
) -> tuple[WeightsFile, tuple[str, ...]]:
    """Assigns a checkpoint's tensors to the variables of a model: all of them, or none.

    Args:
        model: Model with `config` and `weights`.
        named: Tensors to assign.
        new_classifier: Whether the model's last linear layer keeps its initial weights, and the
            checkpoint's, of another number of classes or absent, are not used.
        config: Architecture that the checkpoint fills, where that is not all of the model.

    Returns:
        (record of what was loaded, variables that keep their initial values).

    Raises:
        InputError: A tensor is missing or left over, or has the wrong shape, dtype or values.
    """
    variables = {variable.path: variable for variable in model.weights}
    table = expected_tensors(config or model.config, named.layout)
    wanted = [tensor for tensor in table if tensor.path in variables]
    if new_classifier:
        wanted = [tensor for tensor in wanted if not _is_new(tensor, named.tensors)]
    unused = _unused(named, wanted)
    source = str(named.path)
    _check_names(source, named.layout, wanted, named.tensors.keys() - unused)
    arrays = {t.path: _checked(source, t, named.tensors[t.name]) for t in wanted}
    for path, array in arrays.items():
        variables[path].assign(array)
    loaded = dataclasses.replace(
        named.file,
        head=model.config.head,
        tensors=len(arrays),
        parameters=sum(array.size for array in arrays.values()),
        unused_tensors=tuple(sorted(unused)),
    )
    return loaded, tuple(path for path in variables if path not in arrays)


def _is_new(tensor: Tensor, tensors: Mapping[str, np.ndarray]) -> bool:
    if tensor.is_classifier:
        return True
    return tensor.is_head and tensor.name not in tensors


def _unused(named: NamedTensors, wanted: Sequence[Tensor]) -> set[str]:
    """Returns the checkpoint's tensors after the backbone that the model lacks."""
    layout = named.layout
    modules = [layout.head_norm, layout.head]
    modules += [f"{layout.head}.{part}" for part in ("fc1", "norm", "fc2")]
    if layout.feature_norm:
        modules += [layout.feature_norm_name(stage) for stage in range(MAX_STAGES)]
    heads = {f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")}
    unwanted = named.tensors.keys() - {tensor.name for tensor in wanted}
    if layout is MMSEG and not any(tensor.path.startswith("neck") for tensor in wanted):
        heads |= {name for name in unwanted if name.startswith((NECK, DECODE_HEAD))}
    return heads & unwanted


def _check_names(
    source: str, layout: Layout, wanted: Sequence[Tensor], names: AbstractSet[str]
) -> None:
    """Raises InputError unless the names are those of the wanted tensors."""
    expected = {tensor.name for tensor in wanted}
    missing = sorted(expected - names)
    extra = sorted(names - expected)
    problems: list[str] = []
    if missing:
        only_head_missing = all(t.is_head for t in wanted if t.name not in names)
        hint = " (without a head it loads as a backbone)" if only_head_missing else ""
        problems.append(f"lacks {listed(missing)}{hint}")
    if extra:
        problems.append(f"holds {listed(extra)}, which the model has no place for")
    if problems:
        raise InputError(f"{source} (layout {layout.name}) {' and '.join(problems)}")


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
            f"{extreme:g}: the file is corrupt, or its training diverged"
        )
    precision = np.promote_types(array.dtype, np.float32)
    return tensor.to_keras(array).astype(precision, copy=False)
