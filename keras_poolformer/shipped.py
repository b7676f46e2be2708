"""The files inside the package: pictures to try things on, class names, small networks."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def sample_photographs(pattern: str = "*") -> list[Path]:
    """Returns photographs that the package ships: 7 of everyday scenes, 24 of CIFAR-10.

    Args:
        pattern: Glob pattern of file names, such as "*.jpg" for the everyday scenes or
            "cifar10_*" for the others.
    """
    return sorted((ASSETS / "photos").glob(pattern))


def sample_micrograph() -> tuple[Path, Path]:
    """Returns a micrograph of nuclei that the package ships, and its mask, drawn by hand.

    The mask is 1 where there is a nucleus and 0 elsewhere.
    """
    return ASSETS / "microscopy/nuclei.png", ASSETS / "microscopy/nuclei_mask.png"
