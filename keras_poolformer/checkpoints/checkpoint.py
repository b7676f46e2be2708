"""A checkpoint: the weights of one network, read from PyTorch files and named as in its layout."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.checkpoints.names import model_names, unwrapped_names
from keras_poolformer.checkpoints.reading.readers import FileContents, Progress, read_files
from keras_poolformer.checkpoints.segmenter_tensors import BATCH_COUNT
from keras_poolformer.checkpoints.wrappers import choose_network, select_weights


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one network.

    Args:
        tensors: {name: read-only array}, names as in the network's layout; float16 stays float16,
            bfloat16 becomes the same values in float32.
        dtypes: {name: dtype in the file}, as in "bfloat16".
        sha256: Checksum of the file; of a sharded checkpoint, over the concatenated hexadecimal
            digests of its shards in the order of their file names.
        paths: Paths of the weight files.
        wrapper: Entry of the file that held the weights, as in "state_dict_ema"; "" for none.
        prefix: Prefix of the network's names in the file, as in "backbone."; "" for none.
        architecture: Name of the architecture that the file states (`arch`, as training scripts
            save it), or "".
        ignored: Names of tensors outside the network, and of entries with other weights.
        batch_count: Number of training batches that PyTorch's batch norms counted, or None.
        labels: What the file says are the names of the classes, unchecked, or None.
        palette: What it says are their colors, unchecked, or None.
    """

    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str]
    sha256: str
    paths: tuple[Path, ...]
    wrapper: str
    prefix: str = ""
    architecture: str = ""
    ignored: tuple[str, ...] = ()
    batch_count: int | None = None
    labels: Any = None
    palette: Any = None


def read_checkpoint(
    path: str | os.PathLike[str], use_ema: bool = True, progress: Progress | None = None
) -> Checkpoint:
    """Reads the weights from a PyTorch checkpoint, without PyTorch.

    Args:
        path: Path of a .pth, .pth.tar, .bin or .safetensors file (its content decides, not its
            name), or of a directory as timm or transformers save it.
        use_ema: Whether averaged weights are preferred where the file has both. Without it they
            are never used.
        progress: Function to call with (bytes done, bytes in total) while the files are read.

    Raises:
        InputError: The file is missing, corrupt, holds no weights, or asks for anything else
            than weights. Nothing in it is ever run.
        MissingExtraError: It is a safetensors file and safetensors is not installed.
    """
    path = Path(path)
    select = functools.partial(select_weights, use_ema=use_ema)
    return _of_one_network(read_files(path, select, progress), use_ema, path)


def _of_one_network(contents: FileContents, use_ema: bool, path: Path) -> Checkpoint:
    """Picks one network's tensors, and gives them the names of its layout."""
    shapes = {name: array.shape for name, array in contents.tensors.items()}
    unwrapped = unwrapped_names(shapes, path)
    prefix = choose_network(unwrapped.values(), use_ema, path)
    layout_names = model_names(set(unwrapped.values()), prefix)
    names = {old: layout_names[bare] for old, bare in unwrapped.items() if bare in layout_names}
    counts = _batch_counts(contents.tensors)
    unused = [entry for selection in contents.selections for entry in selection.unused]
    last = contents.selections[-1] if contents.selections else None
    return Checkpoint(
        tensors={name: contents.tensors[old] for old, name in names.items()},
        dtypes={name: contents.dtypes[old] for old, name in names.items()},
        sha256=contents.sha256,
        paths=contents.paths,
        wrapper=last.entry if last else "",
        prefix=prefix,
        architecture=last.architecture if last else "",
        ignored=(*unused, *sorted(contents.tensors.keys() - names.keys() - counts.keys())),
        batch_count=max((int(array.item()) for array in counts.values()), default=None),
        labels=last.labels if last else None,
        palette=last.palette if last else None,
    )


def _batch_counts(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The plausible counts of batch norms, by name."""
    return {
        name: array
        for name, array in tensors.items()
        if name.split(".")[-1] == BATCH_COUNT
        and (array.dtype.kind, array.size) == ("i", 1)
        and array.item() >= 0
    }
