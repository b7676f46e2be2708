"""Back to PyTorch: the weights of a model as sail-sg, timm and transformers read them."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from keras_poolformer.checkpoints import hub_json_writing, layouts, writers
from keras_poolformer.checkpoints.writers import CONFIG, PREPROCESSOR, TORCH_FOLDER, WEIGHTS
from keras_poolformer.images.transform import checked_transform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing


@dataclass(frozen=True)
class SaveReport:
    """What was written, and whether PyTorch will compute the same with it."""

    path: str
    files: tuple[str, ...]  # names, where `path` is a directory
    layout: str
    dtype: str  # of the tensors in the file
    tensors: int
    parameters: int
    logits_equal: bool | None  # up to the order of roundings; None for a backbone
    notes: tuple[str, ...]  # what differs, or could not be written

    def to_dict(self):
        """Returns the report as JSON-ready values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self):
        files = f" ({', '.join(self.files)})" if self.files else ""
        first = (
            f"{self.path}{files}: {self.tensors} tensors, {self.parameters:,} parameters, "
            f"{self.dtype}, layout {self.layout}"
        )
        return "\n".join([first, *self.notes])


def save_torch_weights(
    model,
    path,
    layout="sail",
    dtype=None,
    allow_other_head=False,
    transform=None,
    overwrite=False,
):
    """Writes a PoolFormer's weights with the names of a PyTorch library.

    Args:
        model: a `PoolFormerImageClassifier` or `PoolFormerBackbone`.
        path: the .safetensors file to write; or a directory (one that exists, or a name without
            suffix) for model.safetensors and the JSON files that the library wants beside it.
        layout: "sail", "timm" or "hf" (transformers).
        dtype: "float32", "float16" or "bfloat16". None is the model's own, but where the
            weights were loaded in half precision and still are numbers of it, they leave in it.
        allow_other_head: whether a library may get weights whose head it computes in
            another way, so that its logits differ and only its feature maps are equal.
        transform: the `ImageTransform` of the model; by default the one it was loaded with.
        overwrite: whether an existing file, or a directory with nothing but such files, may be
            replaced.

    Returns:
        A `SaveReport`.

    Raises:
        InputError: unknown layout or dtype, the library's head is not the model's, a weight is
            not finite (in that dtype), or `path` cannot be written.
        MissingExtraError: safetensors is not installed.
    """
    writers.require_safetensors()
    row = layouts.get_layout(layout)
    if dtype not in (None, *writers.DTYPES):
        known = ", ".join(writers.DTYPES)
        raise InputError(f"`dtype` must be one of {known} or None. Received: {dtype!r}")
    folder = writers.output_directory(path, overwrite)
    tensors = writers.torch_tensors(model, row)
    same_head, notes = _compare_heads(model, row, allow_other_head)
    if model.config.norm == "layer_norm":
        notes.append("the authors' class computes the same with norm_layer=LayerNormChannel alone")
    arrays, changed, more = _rounded(model, tensors, dtype)
    notes += more
    dtypes = sorted({array.dtype.name for array in arrays.values()})
    documents = {}
    if folder:
        transform = checked_transform(transform) or model.transform
        documents, more = _documents(model, layout, dtypes[-1], transform)
        notes += more
    _write(folder or Path(path), arrays, documents if folder else None, overwrite)
    return SaveReport(
        path=str(path),
        files=(WEIGHTS, *documents) if folder else (),
        layout=layout,
        dtype=", ".join(dtypes),
        tensors=len(arrays),
        parameters=sum(array.size for array in arrays.values()),
        logits_equal=same_head and not changed,
        notes=tuple(notes),
    )


def _write(path, arrays, documents, overwrite):
    """Writes a file, or where there are documents a directory."""
    with replacing(path, overwrite, None if documents is None else TORCH_FOLDER) as written:
        if documents is None:
            writers.write_safetensors(arrays, written)
            return
        written.mkdir()
        writers.write_safetensors(arrays, written / WEIGHTS)
        for name, document in documents.items():
            (written / name).write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _compare_heads(model, row, allow_other_head):
    """(whether the library computes the same logits or None without a head, notes)."""
    if not _has_head(model):
        return None, []
    if row.head_kind == model.config.head:
        return True, []
    theirs = (
        f"layout {row.name!r} is read by a library whose head is {row.head_kind}, the model's "
        f"is {model.config.head}"
    )
    if not allow_other_head:
        raise InputError(
            f"{theirs}: its logits would differ. Received: allow_other_head=False; True (on the "
            f"command line --allow-other-head) writes the weights all the same"
        )
    return False, [f"logits differ, feature maps are equal: {theirs}"]


def _has_head(model):
    return any(variable.path.startswith("head") for variable in model.weights)


def _rounded(model, tensors, dtype):
    """(the arrays in the dtype to write, names of those whose values changed, notes)."""
    loaded = model.provenance.weights
    source = loaded.dtype if loaded else None
    if dtype is None and source in writers.HALVES:
        arrays, changed = writers.cast(tensors, source)
        if not changed:
            return arrays, [], []
        note = (
            f"written in single precision: loaded in {source}, but {changed[0]} and "
            f"{len(changed) - 1} other tensors have changed since and are no such numbers"
        )
        return *writers.cast(tensors, None), [note]
    arrays, changed = writers.cast(tensors, dtype)
    note = f"{len(changed)} tensors were rounded to {dtype}, so logits differ a little"
    return arrays, changed, [note] if changed else []


def _documents(model, layout, dtype, transform):
    """({name of a JSON file: what it says}, notes about what cannot be said)."""
    config, classifier = model.config, _has_head(model)
    if layout == "sail":
        return {}, []
    rgb = config.in_channels == 3
    if layout == "hf":
        unused = dict(model.provenance.hf_unused)
        documents = {CONFIG: hub_json_writing.hf_config_json(config, unused, dtype, classifier)}
        if rgb:
            documents[PREPROCESSOR] = hub_json_writing.hf_preprocessor_json(transform)
    else:
        try:
            if not classifier:
                raise InputError("timm has names for whole classifiers alone")
            documents = {CONFIG: hub_json_writing.timm_config_json(config, transform)}
        except InputError as error:
            return {}, [f"no {CONFIG}: {error}"]
    if not rgb or transform.crop_mode == layout:
        return documents, []
    note = (
        f"{layout} and {transform.crop_mode} split an odd margin otherwise: crops that {layout} "
        f"makes by this {PREPROCESSOR if layout == 'hf' else CONFIG} can lie one pixel off"
    )
    return documents, [note]
