"""CSV files with the figures of a run, which grow while it trains."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.training.results import (
    CLASSIFICATION_SCORE,
    SEGMENTATION_SCORE,
    Evaluation,
)

STEP_FIELDS = ("step", "loss", "accuracy", "learning_rate")
# By the figure that chooses the best step.
EVALUATION_FIELDS: dict[str, tuple[str, ...]] = {
    CLASSIFICATION_SCORE: ("step", "epoch", "loss", "top1", "top5"),
    SEGMENTATION_SCORE: ("step", "epoch", "loss", "mean_iou", "mean_accuracy", "pixel_accuracy"),
}
LOG, EVALUATIONS = "log.csv", "evaluations.csv"
_WHOLE = ("step", "epoch")
_OPTIONAL = ("top5",)


class Table:
    """A CSV file that grows by rows, and whose content depends only on the training.

    Lines that are not valid rows, as a power cut may leave them, are dropped; a copy of the
    original file is kept, and stderr says so.

    Args:
        path: Path of the file; rows of an earlier process are kept.
        fields: Names of the columns, the first of which is the step.
        last_step: Last step to keep, since later rows will be written again.
    """

    def __init__(self, path: Path, fields: Sequence[str], last_step: int) -> None:
        self._path = path
        lines, corrupt = _valid_lines(path, fields)
        if corrupt:
            copy = path.with_name(f"{path.name}.corrupt")
            copy.write_bytes(path.read_bytes())
            print(f"{path} has {corrupt} corrupt lines, kept in {copy.name}", file=sys.stderr)
        kept = [line for line in lines if int(line.partition(",")[0]) <= last_step]
        with replacing(path, overwrite=True) as written:
            written.write_text(
                "\n".join([",".join(fields), *kept]) + "\n", encoding="utf-8", newline="\n"
            )

    def append(self, rows: Iterable[Sequence[Any]]) -> None:
        """Adds rows.

        Args:
            rows: Sequences of numbers, which read back exactly as float32.

        Raises:
            InputError: The file cannot be written.
        """
        text = "".join(",".join(map(_number, row)) + "\n" for row in rows)
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"{self._path} cannot be written: {error}") from error


def _number(value: float | str) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def read_table(path: Path, fields: Sequence[str]) -> list[dict[str, float | None]]:
    """Reads the valid rows of a `Table`'s file.

    Args:
        path: Path of the file, which may be missing.
        fields: Names of its columns.

    Returns:
        {field: number} for each row; ints for steps and epochs, None for a missing number.
    """
    lines, _ = _valid_lines(path, fields)
    return [dict(zip(fields, _numbers(line, fields) or (), strict=True)) for line in lines]


def last_evaluation(workdir: str | Path) -> Evaluation | None:
    """Returns the last row of WORKDIR's evaluations.

    None where there is no row: the folder is a new one, and the checkpoints are elsewhere.
    """
    rows = read_evaluations(workdir)
    if not rows:
        return None
    figures: dict[str, Any] = {name: rows[-1][name] for name in rows[-1] if name not in _WHOLE}
    return Evaluation(**figures)


def read_evaluations(workdir: str | Path) -> list[dict[str, float | None]]:
    """Reads the evaluations of a run, of whichever task, as `read_table` does."""
    path = Path(workdir) / EVALUATIONS
    tables = [read_table(path, fields) for fields in EVALUATION_FIELDS.values()]
    return next((rows for rows in tables if rows), [])


def _valid_lines(path: Path, fields: Sequence[str]) -> tuple[list[str], int]:
    """The lines that are valid rows, and the number of others; no header, no partial last line."""
    content = path.read_bytes() if path.exists() else b""
    lines = content.decode(errors="replace").split("\n")[:-1]
    if lines and lines[0] == ",".join(fields):
        del lines[0]
    valid = [line for line in lines if _numbers(line, fields)]
    return valid, len(lines) - len(valid)


def _numbers(line: str, fields: Sequence[str]) -> list[float | None] | None:
    """The numbers of a row, or None if it is not one."""
    texts = line.split(",")
    if len(texts) != len(fields):
        return None
    numbers = []
    for name, text in zip(fields, texts, strict=True):
        value = None
        with contextlib.suppress(ValueError):
            value = int(text) if name in _WHOLE else float(text)
        missing = name in _OPTIONAL and not text
        if not missing and (value is None or not text.isascii()):
            return None
        numbers.append(value)
    return numbers
