"""What a command says of a measured model, whichever its task is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurement(ABC):
    """How right a model is on a set of images.

    Args:
        skipped: Names of the images that could not be read.
        note: What people should know of how classes were matched, or "".
    """

    skipped: tuple[str, ...] = ()
    note: str = ""

    @abstractmethod
    def to_dict(self) -> dict[str, int | float]:
        """Returns the figures of all classes together as JSON-ready values, in percent."""

    @abstractmethod
    def class_figures(self) -> list[dict[str, Any]]:
        """Returns the figures of each class as JSON-ready values, in the order of the classes."""

    @abstractmethod
    def summary(self) -> str:
        """Returns the figures of all classes together as one line."""

    @abstractmethod
    def class_lines(self) -> list[str]:
        """Returns the figures of each class as a line."""

    @abstractmethod
    def write_report(self, folder: Path) -> None:
        """Writes a report, with the files of `report.REPORT`.

        Args:
            folder: An existing, empty folder.
        """


def percentages(names: dict[str, str], figures: dict[str, int | float]) -> str:
    """Returns figures as people read them: "top-1 80.00 %, top-5 97.50 %".

    Args:
        names: {what people call a figure: its name in `figures`}, where it has it.
        figures: Percentages by name.
    """
    return ", ".join(
        f"{name} {figures[key]:.2f} %" for name, key in names.items() if key in figures
    )
