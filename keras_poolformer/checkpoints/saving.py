"""Saves the weights of a model for sail-sg, timm, transformers and mmsegmentation."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.checkpoints import hub_json_writing, layouts, writers
from keras_poolformer.checkpoints.layouts import MMSEG, Layout
from keras_poolformer.checkpoints.model_protocol import Model
from keras_poolformer.checkpoints.segmenter_tensors import BATCH_COUNT
from keras_poolformer.checkpoints.writers import CONFIG, PREPROCESSOR, TORCH_FOLDER, WEIGHTS
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.images.transform import ImageTransform, checked_transform
from keras_poolformer.support.choices import check_choice
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.untyped import is_list

_WITHOUT_JSON = ("sail", "metaformer", "mmseg")  # libraries that read no config.json
_RUNNING_MEAN = ".running_mean"


@dataclass(frozen=True)
class SaveReport:
    """What was written, and whether PyTorch computes the same with it.

    Args:
        path: Path of the output.
        files: Names of the files, where `path` is a directory.
        layout: Layout of the names.
        dtype: Dtype of the tensors in the file.
        tensors: Number of tensors.
        parameters: Number of weights in them.
        logits_equal: Whether logits are equal, up to the order of rounding; None for a backbone.
        notes: What differs, or could not be written.
    """

    path: str
    files: tuple[str, ...]
    layout: str
    dtype: str
    tensors: int
    parameters: int
    logits_equal: bool | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return {
            name: list(value) if is_list(value) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self) -> str:
        files = f" ({', '.join(self.files)})" if self.files else ""
        first = (
            f"{self.path}{files}: {self.tensors} tensors, {self.parameters:,} parameters, "
            f"{self.dtype}, layout {self.layout}"
        )
        return "\n".join([first, *self.notes])


def save_torch_weights(
    model: Model,
    path: str | os.PathLike[str],
    layout: str = "sail",
    dtype: str | None = None,
    allow_other_head: bool = False,
    transform: ImageTransform | None = None,
    overwrite: bool = False,
) -> SaveReport:
    """Saves a model's weights with the names of a PyTorch library.

    Args:
        model: `MetaFormerImageClassifier`, `MetaFormerSegmenter` or `MetaFormerBackbone`.
        path: Path of the .safetensors file to write; or of a directory (one that exists, or a
            name without suffix) for model.safetensors and the JSON files that the library reads.
        layout: "sail" (sail-sg/poolformer), "metaformer" (sail-sg/metaformer), "timm", "hf"
            (transformers), or, for segmenters, "mmseg" (mmsegmentation).
        dtype: "float32", "float16" or "bfloat16". None is the model's dtype, or the half
            precision that the weights were loaded in, if it still represents them exactly.
        allow_other_head: Whether to write weights for a library that computes the head
            differently, so that its logits differ and only its feature maps are equal.
        transform: `ImageTransform` of the model; by default the one it was loaded with.
        overwrite: Whether an existing file, or a directory that holds only such files, may be
            replaced.

    Raises:
        InputError: The layout or dtype is unknown, the library's head is not the model's, a
            weight is NaN or infinite (in that dtype), or `path` cannot be written.
        MissingExtraError: safetensors is not installed.
    """
    writers.require_safetensors()
    target = layouts.get_layout(layout)
    check_choice("dtype", dtype, (*writers.DTYPES, None))
    folder = writers.output_directory(path, overwrite)
    tensors = writers.torch_tensors(model, target)
    same_head, notes = _compare_heads(model, target, allow_other_head)
    if model.config.norm == "layer_norm" and target is layouts.SAIL:
        notes.append("the authors' class computes the same only with norm_layer=LayerNormChannel")
    arrays, changed, dtype_notes = _rounded(model, tensors, dtype)
    notes += dtype_notes
    dtypes = sorted({array.dtype.name for array in arrays.values()})
    parameters = sum(array.size for array in arrays.values())
    arrays |= _batch_counts(model, arrays)
    documents: dict[str, Any] = {}
    if folder:
        transform = checked_transform(transform) or model.transform
        documents, document_notes = _documents(model, layout, dtypes[-1], transform)
        notes += document_notes
    _write(folder or Path(path), arrays, documents if folder else None, overwrite)
    return SaveReport(
        path=str(path),
        files=(WEIGHTS, *documents) if folder else (),
        layout=layout,
        dtype=", ".join(dtypes),
        tensors=len(arrays),
        parameters=parameters,
        logits_equal=None if same_head is None else same_head and not changed,
        notes=tuple(notes),
    )


def _write(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    documents: Mapping[str, Any] | None,
    overwrite: bool,
) -> None:
    """Writes a file, or a directory if there are documents."""
    with replacing(path, overwrite, None if documents is None else TORCH_FOLDER) as written:
        if documents is None:
            writers.write_safetensors(arrays, written)
            return
        written.mkdir()
        writers.write_safetensors(arrays, written / WEIGHTS)
        for name, document in documents.items():
            (written / name).write_text(
                json.dumps(document, indent=2) + "\n", "utf-8", newline="\n"
            )


def _compare_heads(
    model: Model, layout: Layout, allow_other_head: bool
) -> tuple[bool | None, list[str]]:
    """Returns (whether the library computes the same logits or None without a head, notes)."""
    if not _has_head(model):
        return None, []
    config = model.config
    if config.is_segmenter != (layout.head_kind == SEMANTIC_FPN):
        raise InputError(
            f"layout {MMSEG.name!r} is that of segmenters, and the only one. Received: layout "
            f"{layout.name!r} for a {type(model).__name__}"
        )
    if layout.head_kind != config.head:
        difference = (
            f"layout {layout.name!r} is read by a library whose head is {layout.head_kind}, the "
            f"model's is {config.head}"
        )
        if not allow_other_head:
            raise InputError(
                f"{difference}: its logits would differ. Received: allow_other_head=False; True "
                "(on the command line --allow-other-head) writes the weights anyway"
            )
        return False, [f"logits differ, feature maps are equal: {difference}"]
    if config.head_mlp_ratio and layout.head_norm_epsilon != config.head_norm_epsilon:
        note = (
            f"logits differ by some millionths: the norm inside the head has the epsilon "
            f"{layout.head_norm_epsilon:g} in that library, {config.head_norm_epsilon:g} here"
        )
        return False, [note]
    return True, []


def _has_head(model: Model) -> bool:
    return any(variable.path.startswith("head") for variable in model.weights)


def _batch_counts(model: Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The counts that PyTorch's batch norms among the arrays have; 0 after training in Keras."""
    loaded = model.provenance.weights
    count = (loaded.batch_count if loaded else None) or 0
    means = [name for name in arrays if name.endswith(_RUNNING_MEAN)]
    return {
        f"{name.removesuffix(_RUNNING_MEAN)}.{BATCH_COUNT}": np.array(count, np.int64)
        for name in means
    }


def _rounded(
    model: Model, tensors: Mapping[str, np.ndarray], dtype: str | None
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Returns (arrays in the dtype to write, names of those whose values changed, notes)."""
    loaded = model.provenance.weights
    source = loaded.dtype if loaded else None
    if dtype is None and source in writers.HALVES:
        arrays, changed = writers.cast(tensors, source)
        if not changed:
            return arrays, [], []
        note = (
            f"written in single precision: the weights were loaded in {source}, which no longer "
            f"represents {changed[0]} and {len(changed) - 1} other tensors exactly"
        )
        return *writers.cast(tensors, None), [note]
    arrays, changed = writers.cast(tensors, dtype)
    note = f"{len(changed)} tensors were rounded to {dtype}, so logits differ slightly"
    return arrays, changed, [note] if changed else []


def _documents(
    model: Model, layout: str, dtype: str, transform: ImageTransform
) -> tuple[dict[str, Any], list[str]]:
    """Returns ({name of a JSON file: its content}, notes about what it cannot express)."""
    config = model.config
    is_classifier = _has_head(model)
    if layout in _WITHOUT_JSON:
        return {}, []
    is_rgb = config.in_channels == 3
    if layout == "hf":
        unused = model.provenance.hf_unused
        documents = {CONFIG: hub_json_writing.hf_config_json(config, unused, dtype, is_classifier)}
        if is_rgb:
            documents[PREPROCESSOR] = hub_json_writing.hf_preprocessor_json(transform)
    else:
        try:
            if not is_classifier:
                raise InputError("timm has names only for whole classifiers")
            documents = {CONFIG: hub_json_writing.timm_config_json(config, transform)}
        except InputError as error:
            return {}, [f"no {CONFIG}: {error}"]
    if not is_rgb or transform.crop_mode == layout:
        return documents, []
    note = (
        f"{layout} and {transform.crop_mode} split an odd margin differently: crops that {layout} "
        f"makes from this {PREPROCESSOR if layout == 'hf' else CONFIG} can be one pixel off"
    )
    return documents, [note]
