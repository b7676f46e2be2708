"""What reports on accuracy and on label maps share: tables, and the confusion matrix."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image as Image
import PIL.ImageColor as ImageColor
import PIL.ImageDraw as ImageDraw

from keras_poolformer.evaluation.report_page import PAGE
from keras_poolformer.images.drawing import (
    BACKGROUND,
    BLUE,
    LINE_COLOR,
    LINE_HEIGHT,
    MARGIN,
    ORANGE,
    TEXT_COLOR,
    blank,
    font,
)
from keras_poolformer.support.output_folders import OutputFolder

CLASSES = "classes.csv"
CONFUSION = "confusion.csv"
PICTURE = "confusion.png"
MISTAKES = "mistakes.csv"  # of classifiers, as the next two
CALIBRATION = "calibration.csv"
RELIABILITY = "reliability.png"
IMAGES = "images.csv"  # of segmenters, as the next one
WORST = "worst"
_FILES = (
    PAGE, CLASSES, CONFUSION, PICTURE, MISTAKES, CALIBRATION, RELIABILITY, IMAGES, f"{WORST}/*.png",
)  # fmt: skip
REPORT = OutputFolder("a report of evaluate", _FILES, (CLASSES, CONFUSION))
_MOST_NAMED = 60  # classes; for more the picture has no room for names
_SIDE = 900  # pixels, of the matrix
_NAME = 150  # pixels, of a class name
_NUMBERED = 40  # pixels, of a cell with room for its percentage
_DARK = 0.4  # share of a class; cells of more are dark, and have white numbers
_RIGHT, _WRONG = ImageColor.getrgb(BLUE), ImageColor.getrgb(ORANGE)


def class_label(index: int, labels: Sequence[str]) -> str:
    """Returns the name of a class; its number if the classes have none."""
    return labels[index] if labels else str(index)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file.

    Args:
        path: File to write.
        header: Names of the columns.
        rows: Values of each line.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_confusion(folder: Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Writes a confusion matrix as a table and as a picture.

    Args:
        folder: Folder to write into.
        matrix: int64 (C, C). Counts; rows are true classes, columns predicted ones.
        names: Names of the classes.
    """
    rows = ([name, *counts] for name, counts in zip(names, matrix.tolist(), strict=True))
    write_table(folder / CONFUSION, ["true class", *names], rows)
    _draw(matrix, names).save(folder / PICTURE)


def _draw(matrix: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Draws the matrix; the darker a cell, the more images of its true class it holds."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    cell = max(1, _SIDE // len(matrix))
    grid = _grid(shares, cell)
    has_names = len(names) <= _MOST_NAMED
    margin = _NAME if has_names else 30
    picture, draw = blank(*(margin + side + MARGIN for side in grid.size))
    picture.paste(grid, (margin, margin))
    corner = (margin, margin, margin + grid.width, margin + grid.height)
    draw.rectangle(corner, outline=LINE_COLOR)
    draw.text((6, 4), "rows: true class, columns: predicted", TEXT_COLOR, font())
    if cell >= _NUMBERED:
        for row, column in np.argwhere(matrix).tolist():
            center = (margin + column * cell + cell // 2, margin + row * cell + cell // 2)
            share = shares[row, column]
            color = BACKGROUND if share > _DARK else TEXT_COLOR
            draw.text(center, f"{share:.0%}", color, font(), anchor="mm")
    if has_names:
        _draw_names(picture, names, cell, margin)
    return picture


def _grid(shares: np.ndarray, cell: int) -> Image.Image:
    """The cells, each a square of `cell` pixels."""
    colors = np.where(np.eye(len(shares), dtype=bool)[..., None], _RIGHT, _WRONG)
    pixels = 255 - np.sqrt(shares)[..., None] * (255 - colors)  # so that rare mistakes show
    grid = Image.fromarray(pixels.round().astype(np.uint8))
    return grid.resize((cell * len(shares),) * 2, Image.Resampling.NEAREST)


def _draw_names(picture: Image.Image, names: Sequence[str], cell: int, margin: int) -> None:
    """Writes the class names next to the rows and above the columns."""
    draw = ImageDraw.Draw(picture)
    for number, name in enumerate(names):
        middle = margin + number * cell + cell // 2
        draw.text((margin - 6, middle), _short(name), TEXT_COLOR, font(), anchor="rm")
        column = _upright_name(name)
        picture.paste(column, (middle - column.width // 2, margin - 4 - column.height))


def _upright_name(name: str) -> Image.Image:
    """The name, written from bottom to top."""
    text, draw = blank(_NAME - 34, LINE_HEIGHT)
    draw.text((0, 1), _short(name), TEXT_COLOR, font())
    return text.transpose(Image.Transpose.ROTATE_90)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:16]}..."
