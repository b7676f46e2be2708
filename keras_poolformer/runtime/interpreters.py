"""Loads LiteRT interpreters; errors name the file."""

# LiteRT has no type stubs.
# pyright: reportMissingTypeStubs=false

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_poolformer.runtime.model_check import check_model
from keras_poolformer.support.errors import InputError, MissingExtraError


def import_litert() -> ModuleType:
    """Returns the module `ai_edge_litert.interpreter`.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        raise MissingExtraError("ai-edge-litert", "runtime") from None
    return interpreter


def litert_version() -> str:
    """Returns the installed version of LiteRT.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
    """
    import_litert()
    import ai_edge_litert

    return ai_edge_litert.__version__


def read_model(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a .tflite file after checking its structure.

    Raises:
        InputError: There is no such file, or it is corrupt.
    """
    path = Path(path)
    if not path.is_file():
        received = "a directory" if path.is_dir() else "no such file"
        raise InputError(f"{path} must be a .tflite file. Received: {received}")
    content = path.read_bytes()
    with litert_errors(path):
        check_model(content)
    return content


def load_interpreter(
    model: bytes,
    path: str | os.PathLike[str],
    num_threads: int = 1,
    without_delegates: bool = False,
) -> Any:
    """Loads an interpreter that is ready to run.

    Args:
        model: Bytes of the file.
        path: Path of the file, for the error's message.
        num_threads: Number of threads inside one call.
        without_delegates: Whether LiteRT's own kernels run everything, without XNNPACK.

    Returns:
        An `ai_edge_litert.interpreter.Interpreter` with its tensors allocated.

    Raises:
        InputError: LiteRT cannot load the model.
        MissingExtraError: ai-edge-litert is not installed.
    """
    litert = import_litert()
    resolvers = litert.OpResolverType
    resolver = resolvers.AUTO
    if without_delegates:
        resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with litert_errors(path):
        interpreter = litert.Interpreter(
            model_content=model, num_threads=num_threads, experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def litert_errors(path: str | os.PathLike[str]) -> Generator[None, None, None]:
    """Turns errors of LiteRT while it loads, describes or runs a file into an InputError.

    Args:
        path: Path of the file, for the error's message.
    """
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{path} is not a usable TFLite model: {first_line}") from None
