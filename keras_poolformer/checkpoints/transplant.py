"""Loads PyTorch checkpoints into whatever has our variable paths.

Strictly: the two sets of names must be equal and so must all shapes, or nothing is assigned. The
model is never imported; it only has to have `config`, `weights` and `provenance`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.config import MAX_STAGES
from keras_poolformer.lineage import origin_lines, untrained_provenance
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import listed

# Far beyond any trained weight, far below what a flipped exponent bit makes of one.
LARGEST_WEIGHT = 1e6
_MOST_IGNORED = 50  # names in a report


@dataclass(frozen=True)
class LoadReport:
    """What was loaded, and what it was loaded from."""

    source: str
    sha256: str
    layout: str
    head: str  # that the model computes
    wrapper: str  # the entry of the checkpoint that held the weights, "" for none
    dtype: str  # of the tensors in the file
    tensors: int  # loaded
    parameters: int  # loaded
    new_tensors: tuple[str, ...]  # variables that keep their fresh values
    unused_tensors: tuple[str, ...]  # the checkpoint's head or norms, where the model has none
    prefix: str = ""  # before the names of the network in the checkpoint
    assumed: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields no file told
    ignored_tensors: tuple[str, ...] = ()  # beside the network, such as a detector's neck

    def to_dict(self):
        """Returns the report as JSON-ready values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self):
        return "\n".join(origin_lines(self.to_dict()))


def load_torch_weights(model, path, layout=None):
    """Loads a PyTorch checkpoint into a PoolFormer.

    Args:
        model: a `PoolFormerImageClassifier` or `PoolFormerBackbone`; a backbone takes the
            checkpoint's backbone and leaves its head alone.
        path: a .pth / .pth.tar / .safetensors file, or a directory with such a file.
        layout: "sail", "timm" or "hf"; by default the one whose names the checkpoint has.

    Returns:
        A `LoadReport`, which also becomes the model's provenance.

    Raises:
        InputError: the file is damaged, would run code, or does not hold exactly the
            model's tensors; the model is then unchanged.
    """
    return load_checkpoint(model, read_checkpoint(path), layout)


def load_checkpoint(model, checkpoint, layout=None, new_classifier=False, config=None):
    """Loads an already read `Checkpoint`; see `load_torch_weights`.

    Args:
        new_classifier: whether the model's last linear layer keeps its fresh weights, and
            the checkpoint's, of another number of classes or absent, are left alone.
        config: of what the checkpoint shall fill, where that is not all of the model.
    """
    refuse_quantized(model)
    source = str(checkpoint.paths[0])
    tensors = checkpoint.tensors
    layout = layouts.get_layout(layout) if layout else layouts.detect_layout(tensors)
    variables = {variable.path: variable for variable in model.weights}
    table = layouts.expected_tensors(config or model.config, layout)
    wanted = [t for t in table if t.path in variables]
    new = [t for t in wanted if new_classifier and _is_new(t, tensors)]
    wanted = [t for t in wanted if t not in new]
    unused = _unused(tensors, wanted, layout)
    _check_names(source, layout, wanted, set(tensors) - unused)
    arrays = {t.path: _checked(source, t, tensors[t.name]) for t in wanted}

    for path, array in arrays.items():
        variables[path].assign(array)
    report = LoadReport(
        source=checkpoint.paths[0].name,
        sha256=checkpoint.sha256,
        layout=layout.name,
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


def _is_new(tensor, tensors):
    if tensor.is_classifier:
        return True
    return tensor.is_head and tensor.name not in tensors


def _unused(tensors, wanted, layout):
    """The checkpoint's tensors after the backbone that the model has no place for."""
    modules = [layout.head, layout.head_norm]
    if layout.feature_norm:
        modules += [layout.feature_norm.format(s=2 * stage) for stage in range(MAX_STAGES)]
    heads = {f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")}
    return heads & set(tensors) - {tensor.name for tensor in wanted}


def _check_names(source, layout, wanted, names):
    expected = {tensor.name for tensor in wanted}
    missing, extra = sorted(expected - names), sorted(names - expected)
    if missing or extra:
        parts = []
        if missing:
            backbone = {tensor.name for tensor in wanted if not tensor.is_head}.isdisjoint(missing)
            hint = " (without a head it loads as a backbone)" if backbone else ""
            parts.append(f"lacks {listed(missing)}{hint}")
        if extra:
            parts.append(f"holds {listed(extra)}, which the model has no place for")
        raise InputError(f"{source} (layout {layout.name}) {' and '.join(parts)}")


def _abridged(names):
    """Names as a model keeps them: what a whole detector has beside its backbone is too many."""
    rest = len(names) - _MOST_IGNORED
    return names if rest <= 0 else (*names[:_MOST_IGNORED], f"and {rest} more")


def _checked(source, tensor, array):
    """The array in Keras' axes, in single precision at least, or an error with its name."""
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
            f"{extreme:g}, so the file is damaged or its training diverged"
        )
    precision = np.promote_types(array.dtype, np.float32)
    return array.transpose(layouts.TO_KERAS[tensor.role]).astype(precision, copy=False)
