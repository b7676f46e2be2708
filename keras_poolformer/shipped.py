"""The files inside the package: photographs to try things on, class names, a small network."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def sample_photographs(pattern: str = "*") -> list[Path]:
    """Returns photographs that the package ships: 7 of everyday scenes, 24 of CIFAR-10.

    Args:
        pattern: Glob pattern of file names, such as "*.jpg" for the everyday scenes or
            "cifar10_*" for the others.
    """
    return sorted((ASSETS / "photos").glob(pattern))
