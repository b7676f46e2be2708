"""The files in a directory that may hold weights, and whether they hold as many as described."""

from pathlib import Path

from keras_poolformer.checkpoints.tensors import count_parameters
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.regular_files import is_regular

RUN = "run.json"  # in the folder of a training run: `training.run`
CANDIDATES = (".keras", ".pth", ".tar", ".pt", ".bin", ".ckpt", ".safetensors")
MAX_UNSEEN_WEIGHTS = 2**28  # of an architecture without files; the largest preset has 73 M


def check_described_size(weights: Path, config: MetaFormerConfig, name: str) -> None:
    """Rejects a hostile description before a model of its size costs memory.

    Args:
        weights: File or directory of the weights, which may not be there yet.
        config: Architecture that is described.
        name: What the error calls the source.

    Raises:
        InputError: There are fewer bytes than weights.
    """
    files = [weights] if is_regular(weights) else [weights / file for file in candidates(weights)]
    size = sum(file.stat().st_size for file in files)
    described = count_parameters(config)
    if described > (size if files else MAX_UNSEEN_WEIGHTS):
        where = f"{size:,} bytes" if files else "files that are not here"
        raise InputError(f"{name} describes {described:,} weights in {where}")


def candidates(folder: Path) -> list[str]:
    """Returns the names of the files in a directory that may hold weights."""
    if not folder.is_dir():
        return []
    try:
        files = [path for path in folder.iterdir() if path.suffix in CANDIDATES and path.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from None
    return sorted(path.name for path in files)
