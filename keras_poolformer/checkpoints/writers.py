"""Writes weights in the files, names and axes of PyTorch's libraries, without PyTorch."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.checkpoints.layouts import Layout
from keras_poolformer.checkpoints.model_protocol import Model
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.checkpoints.tensors import expected_tensors
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.files import refuse_existing
from keras_poolformer.support.output_folders import OutputFolder

# Files of a directory as transformers and timm save it.
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
TORCH_FOLDER = OutputFolder(
    f"a folder of {WEIGHTS}, {CONFIG} and {PREPROCESSOR}",
    (WEIGHTS, CONFIG, PREPROCESSOR),
    markers=(WEIGHTS,),
)

HALVES = ("float16", "bfloat16")
DTYPES = ("float32", *HALVES)


def torch_tensors(model: Model, layout: Layout) -> dict[str, np.ndarray]:
    """Returns the weights of a model with a layout's names.

    Args:
        model: Model with `config` and `weights`.
        layout: Layout of the names.

    Returns:
        {name: array in PyTorch's axes, in the variable's dtype}.
    """
    refuse_quantized(model)
    variables = {variable.path: variable for variable in model.weights}
    table = expected_tensors(model.config, layout)
    return {
        tensor.name: np.ascontiguousarray(tensor.to_torch(variables[tensor.path].numpy()))
        for tensor in table
        if tensor.path in variables
    }


def cast(
    arrays: Mapping[str, np.ndarray], dtype: str | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Rounds arrays to a dtype.

    Args:
        arrays: {name: array of floating-point numbers}.
        dtype: One of `DTYPES`, or None to keep each array's dtype.

    Returns:
        The arrays in that dtype, and the names of those whose values changed.
    """
    rounded: dict[str, np.ndarray] = {}
    changed: list[str] = []
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            rounded[name] = array.astype(_numpy_dtype(dtype or array.dtype.name))
        if not np.array_equal(rounded[name].astype(np.float64), array.astype(np.float64)):
            changed.append(name)
    return rounded, changed


def require_safetensors() -> None:
    """Raises MissingExtraError if safetensors is not installed."""
    try:
        importlib.import_module("safetensors")
    except ImportError:
        raise MissingExtraError("safetensors", "keras") from None


def write_safetensors(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes {name: array} as a .safetensors file.

    Raises:
        InputError: A weight is NaN or infinite.
    """
    for name, array in arrays.items():
        if not np.isfinite(array.astype(np.float32)).all():
            raise InputError(
                f"{name} must hold weights that are finite in {array.dtype}. Received: "
                f"{np.abs(array).max()}"
            )
    safetensors: Any = importlib.import_module("safetensors.numpy")  # it has no usable types
    safetensors.save_file(dict(arrays), path, metadata={"format": "pt"})


def output_directory(path: str | os.PathLike[str], overwrite: bool) -> Path | None:
    """Returns the directory to write, or None if the output is a single file of weights.

    Args:
        path: Path of the output.
        overwrite: Whether it may replace a file, or a directory that holds only such files.

    Raises:
        InputError: The path is neither a .safetensors file nor a directory, or may not be
            replaced.
    """
    path = Path(path)
    is_folder = path.is_dir() or not path.suffix
    if not is_folder and path.suffix != ".safetensors":
        raise InputError(
            f"the output must end in .safetensors, or be a directory: one that exists, or a "
            f"name without suffix. Received: {path}"
        )
    refuse_existing(path, overwrite, TORCH_FOLDER if is_folder else None)
    return path.absolute() if is_folder else None


def _numpy_dtype(name: str) -> np.dtype:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # NumPy has no bfloat16; Keras requires this package

    return np.dtype(ml_dtypes.bfloat16)
