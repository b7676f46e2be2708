"""Writes weights as PyTorch's libraries read them, in their axes and without PyTorch."""

import importlib
from pathlib import Path

import numpy as np

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.files import refuse_existing
from keras_poolformer.support.output_folders import OutputFolder

# In a directory as transformers and timm save it.
WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
TORCH_FOLDER = OutputFolder(
    f"a folder of {WEIGHTS}, {CONFIG} and {PREPROCESSOR}",
    (WEIGHTS, CONFIG, PREPROCESSOR),
    markers=(WEIGHTS,),
)

HALVES = ("float16", "bfloat16")
DTYPES = ("float32", *HALVES)


def torch_tensors(model, layout):
    """The weights of a model under a layout's names.

    Args:
        model: whatever has `config` and `weights`.
        layout: a `layouts.Layout`.

    Returns:
        {name: array in PyTorch's axes, in the variable's own dtype}.
    """
    refuse_quantized(model)
    variables = {variable.path: variable for variable in model.weights}
    table = layouts.expected_tensors(model.config, layout)
    return {
        tensor.name: _to_torch(tensor, variables[tensor.path])
        for tensor in table
        if tensor.path in variables
    }


def _to_torch(tensor, variable):
    from_keras = np.argsort(layouts.TO_KERAS[tensor.role])
    return np.ascontiguousarray(np.asarray(variable.numpy()).transpose(from_keras))


def cast(arrays, dtype):
    """Rounds arrays to a dtype.

    Args:
        arrays: {name: array of floating-point numbers}.
        dtype: one of `DTYPES`; None keeps each array's own.

    Returns:
        The arrays in that dtype, and the names of those that are not the same numbers now.
    """
    rounded, changed = {}, []
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            rounded[name] = array.astype(_numpy_dtype(dtype or array.dtype.name))
        if not np.array_equal(rounded[name].astype(np.float64), array.astype(np.float64)):
            changed.append(name)
    return rounded, changed


def require_safetensors():
    """Raises MissingExtraError if safetensors is not installed."""
    try:
        importlib.import_module("safetensors")
    except ImportError:
        raise MissingExtraError("safetensors", "keras") from None


def write_safetensors(arrays, path):
    """Writes {name: array} as a .safetensors file.

    Raises:
        InputError: a weight is not finite.
    """
    from safetensors.numpy import save_file

    for name, array in arrays.items():
        if not np.isfinite(array.astype(np.float32)).all():
            raise InputError(
                f"{name} must hold weights that are finite in {array.dtype}. Received: "
                f"{np.abs(array).max()}"
            )
    save_file(arrays, path, metadata={"format": "pt"})


def output_directory(path, overwrite):
    """Tells a directory of weights and JSON files from a single file of weights.

    Args:
        path: what shall be written.
        overwrite: whether it may replace a file, or a directory with nothing but such files.

    Returns:
        The directory to write; None for a file.

    Raises:
        InputError: the path is neither a .safetensors file nor a directory, or may not be
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


def _numpy_dtype(name):
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # which Keras brings: NumPy itself has no bfloat16

    return np.dtype(ml_dtypes.bfloat16)
