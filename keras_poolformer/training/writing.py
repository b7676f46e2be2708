"""The trained model as files."""

from pathlib import Path

import numpy as np

from keras_poolformer import lineage
from keras_poolformer.checkpoints.saving import save_torch_weights
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.training.checkpoints import averaged_weights


def refuse_unwritable(workdir: Path) -> None:
    """Checks, before anything is trained, that `write_model` can write its files.

    Args:
        workdir: Folder of the run.

    Raises:
        InputError: Something else than a file has the name of one of them.
    """
    for name in ("model", "best"):
        for suffix in (".keras", ".safetensors"):
            refuse_existing(workdir / f"{name}{suffix}", overwrite=True)


def write_model(path, model, optimizer, step):
    """Writes PATH.keras, and PATH.safetensors in the names of sail-sg, for PyTorch.

    In float32, and with the averaged weights where the optimizer keeps any. A classifier whose
    head is not sail-sg's has other logits there; its feature maps are the same.

    Args:
        path: without suffix.
        model, optimizer: as they were trained.
        step: how long, which the model's provenance says.
    """
    provenance = lineage.after_steps(model.provenance, step)
    # Outside of any strategy, whose variables a file does not know.
    plain = PoolFormerImageClassifier(model.config, provenance=provenance, dtype="float32")
    with averaged_weights(model, optimizer):
        for own, trained in zip(plain.weights, model.weights, strict=True):
            own.assign(np.array(trained))
    with replacing(path.with_suffix(".keras"), overwrite=True) as written:
        plain.save(written)
    weights = path.with_suffix(".safetensors")
    save_torch_weights(plain, weights, layout="sail", allow_other_head=True, overwrite=True)
