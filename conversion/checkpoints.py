"""The PyTorch checkpoints that the oracles are loaded with."""

from typing import Any

from keras_poolformer import sources
from keras_poolformer.checkpoints.transplant import NamedTensors
from keras_poolformer.sources import Contents
from keras_poolformer.support.errors import InputError


def read_checkpoint(source: str, **reading: Any) -> tuple[Contents, NamedTensors]:
    """Reads a PyTorch checkpoint for the PyTorch class that it belongs to.

    Args:
        source: Name, path or URI, as `sources.resolve` takes it.
        **reading: Further arguments of `keras_poolformer.sources.Source.read`.

    Raises:
        InputError: It is a .keras file, or cannot be read.
    """
    contents = sources.resolve(source).read(**reading)
    if contents.named is None:
        raise InputError(f"{source}: give the PyTorch checkpoint that it was made from")
    return contents, contents.named
