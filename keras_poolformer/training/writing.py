"""Writes the trained model."""

import contextlib
from pathlib import Path

import keras
import numpy as np

from keras_poolformer import lineage
from keras_poolformer.checkpoints.layouts import METAFORMER, MMSEG, SAIL, TIMM, Layout
from keras_poolformer.checkpoints.saving import save_torch_weights
from keras_poolformer.checkpoints.tensors import check_supported
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.training.checkpoints import averaged_weights
from keras_poolformer.training.tasks import Model


def refuse_unwritable(workdir: Path) -> None:
    """Rejects, before anything is trained, a folder that `write_model` cannot write to.

    Args:
        workdir: Folder of the run.

    Raises:
        InputError: Something other than a file has the name of one of the files.
    """
    for name in ("model", "best"):
        for suffix in (".keras", ".safetensors"):
            refuse_existing(workdir / f"{name}{suffix}", overwrite=True)


def write_model(path: Path, model: Model, optimizer: keras.optimizers.Optimizer, step: int) -> None:
    """Writes PATH.keras, and for PyTorch PATH.safetensors with the tensor names of a library.

    Weights are in float32, averaged if the optimizer averages them. A classifier whose head is not
    the library's has other logits there; its feature maps are the same. A network that no library
    has gets no file for PyTorch.

    Args:
        path: Path without suffix.
        model: Trained model.
        optimizer: Optimizer that trained it.
        step: Number of steps that were taken, for the model's provenance.
    """
    copy = portable_model(model, optimizer, step)
    with replacing(path.with_suffix(".keras"), overwrite=True) as written:
        copy.save(written)
    if layout := _layout_of(model.config):
        weights = path.with_suffix(".safetensors")
        save_torch_weights(copy, weights, layout.name, allow_other_head=True, overwrite=True)


def portable_model(model: Model, optimizer: keras.optimizers.Optimizer, step: int) -> Model:
    """Returns a copy in float32, with averaged weights if the optimizer averages them.

    Its variables are of no strategy: a file cannot hold those.

    Args:
        model: Trained model.
        optimizer: Optimizer that trains it.
        step: Number of steps that were taken, for the copy's provenance.
    """
    provenance = lineage.after_steps(model.provenance, step)
    copy = type(model)(model.config, provenance=provenance, dtype="float32")
    with averaged_weights(model, optimizer):
        for variable, trained in zip(copy.weights, model.weights, strict=True):
            variable.assign(np.array(trained))
    return copy


def _layout_of(config: MetaFormerConfig) -> Layout | None:
    """The first layout whose library has the network, or None."""
    for layout in (MMSEG,) if config.is_segmenter else (SAIL, METAFORMER, TIMM):
        with contextlib.suppress(InputError):
            check_supported(config, layout)
            return layout
    return None
