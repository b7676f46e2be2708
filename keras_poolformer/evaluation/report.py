"""A report on an accuracy: figures of each class, a confusion matrix, and the mistakes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image as Image
import PIL.ImageDraw as ImageDraw
import PIL.ImageFont as ImageFont

from keras_poolformer.evaluation.accuracy import Answers
from keras_poolformer.support.output_folders import OutputFolder

CLASSES = "classes.csv"
CONFUSION = "confusion.csv"
MISTAKES = "mistakes.csv"
PICTURE = "confusion.png"
REPORT = OutputFolder(
    "a report of evaluate", (CLASSES, CONFUSION, MISTAKES, PICTURE), (CLASSES, CONFUSION)
)
_MOST_NAMED = 60  # classes; for more the picture has no room for names
_SIDE = 900  # pixels, of the matrix
_NAME = 150  # pixels, of a class name
_FONT = 12  # pixels
_NUMBERED = 40  # pixels, of a cell with room for its percentage
_BACKGROUND = "#ffffff"
_TEXT = "#202124"
_RIGHT = (42, 111, 151)
_WRONG = (214, 84, 40)


def class_figures(answers: Answers, labels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Returns the accuracy of each class that has images.

    Args:
        answers: Predictions for all images.
        labels: Class names in the order of the classes; () if unknown.

    Returns:
        [{"class": index, "label": name, "images": count, "correct": count, "top1": percent},
        ...], in the order of the classes.
    """
    right = answers.classes[answers.predicted == answers.classes]
    figures = []
    for index in np.unique(answers.classes).tolist():
        images, correct = int((answers.classes == index).sum()), int((right == index).sum())
        figures.append({
            "class": index, "label": _label(index, labels), "images": images,
            "correct": correct, "top1": 100 * correct / images,
        })  # fmt: skip
    return figures


def write_report(
    folder: Path, answers: Answers, images: Sequence[str], labels: Sequence[str] = ()
) -> None:
    """Writes the report into a folder.

    classes.csv has a line for each class; confusion.csv is the confusion matrix, with a row for
    each true class and a column for each predicted one; mistakes.csv has a line for each
    misclassified image, the one with the largest margin first; confusion.png shows the matrix.

    Args:
        folder: An existing, empty folder.
        answers: Predictions for all images.
        images: Names of the images, in the same order.
        labels: Class names in the order of the classes; () if unknown.
    """
    figures = class_figures(answers, labels)
    _write(folder / CLASSES, list(figures[0]), (list(values.values()) for values in figures))
    present = np.union1d(answers.classes, answers.predicted)
    matrix = confusion_matrix(answers, present)
    names = [_label(index, labels) for index in present.tolist()]
    rows = ([name, *counts] for name, counts in zip(names, matrix.tolist(), strict=True))
    _write(folder / CONFUSION, ["true class", *names], rows)
    wrong = np.flatnonzero(answers.predicted != answers.classes)
    worst_first = wrong[np.argsort(-answers.margins[wrong], kind="stable")]
    mistakes = (
        [
            images[number],
            _label(int(answers.classes[number]), labels),
            _label(int(answers.predicted[number]), labels),
            f"{answers.margins[number]:.4g}",
        ]
        for number in worst_first.tolist()
    )
    _write(folder / MISTAKES, ["image", "label", "predicted", "margin"], mistakes)
    _draw(matrix, names).save(folder / PICTURE)


def confusion_matrix(answers: Answers, classes: np.ndarray) -> np.ndarray:
    """Counts the images of each pair of true and predicted class.

    Args:
        answers: Predictions for all images.
        classes: int (C,), sorted. Class indices, with all that occur among them.

    Returns:
        int64 (C, C): rows are true classes, columns predicted ones.
    """
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    pairs = (np.searchsorted(classes, answers.classes), np.searchsorted(classes, answers.predicted))
    np.add.at(matrix, pairs, 1)
    return matrix


def _label(index: int, labels: Sequence[str]) -> str:
    return labels[index] if labels else str(index)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _draw(matrix: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Draws the matrix; the darker a cell, the more images of its true class it holds."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    cell = max(1, _SIDE // len(matrix))
    grid = _grid(shares, cell)
    has_names = len(names) <= _MOST_NAMED
    margin = _NAME if has_names else 30
    picture = Image.new("RGB", (margin + grid.width + 10, margin + grid.height + 10), _BACKGROUND)
    picture.paste(grid, (margin, margin))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=_FONT)
    corner = (margin, margin, margin + grid.width, margin + grid.height)
    draw.rectangle(corner, outline="#c0c0c0")
    draw.text((6, 4), "rows: true class, columns: predicted", _TEXT, font)
    if cell >= _NUMBERED:
        for row, column in np.argwhere(matrix).tolist():
            center = (margin + column * cell + cell // 2, margin + row * cell + cell // 2)
            draw.text(center, f"{shares[row, column]:.0%}", _TEXT, font, anchor="mm")
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
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=_FONT)
    for number, name in enumerate(names):
        middle = margin + number * cell + cell // 2
        draw.text((margin - 6, middle), _short(name), _TEXT, font, anchor="rm")
        column = _upright_name(name, font)
        picture.paste(column, (middle - column.width // 2, margin - 4 - column.height))


def _upright_name(name: str, font: Any) -> Image.Image:
    """The name, written from bottom to top."""
    text = Image.new("RGB", (_NAME - 34, _FONT + 4), _BACKGROUND)
    ImageDraw.Draw(text).text((0, 1), _short(name), _TEXT, font)
    return text.transpose(Image.Transpose.ROTATE_90)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:16]}..."
