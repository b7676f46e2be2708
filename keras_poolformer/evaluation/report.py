"""What an accuracy is made of: figures for each class, a confusion matrix, and the mistakes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_poolformer.evaluation.accuracy import Answers
from keras_poolformer.support.output_folders import OutputFolder

CLASSES, CONFUSION, MISTAKES, PICTURE = (
    "classes.csv", "confusion.csv", "mistakes.csv", "confusion.png"
)  # fmt: skip
REPORT = OutputFolder(
    "a report of evaluate", (CLASSES, CONFUSION, MISTAKES, PICTURE), (CLASSES, CONFUSION)
)
_MOST_NAMED = 60  # classes whose names have room beside the picture
_SIDE = 900  # pixels of the matrix
_NAME = 150  # pixels of a class name
_FONT = 12
_NUMBERED = 40  # pixels of a cell that has room for its share
_BACKGROUND, _TEXT, _RIGHT, _WRONG = "#ffffff", "#202124", (42, 111, 151), (214, 84, 40)


def class_figures(answers: Answers, labels: Sequence[str] = ()) -> list[dict]:
    """Returns the accuracy of each class that has images.

    Args:
        answers: The answer to each image.
        labels: Class names in the order of the classes; () if unknown.

    Returns:
        [{"class": index, "label": name, "images": count, "correct": count, "top1": per cent},
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
    """Writes what an accuracy is made of into a folder.

    classes.csv has a line for each class; confusion.csv is the confusion matrix, a row for each
    class of the images and a column for each predicted one; mistakes.csv has a line for each
    misclassified image, the one with the largest margin first; confusion.png shows the matrix.

    Args:
        folder: An existing, empty folder.
        answers: The answer to each image.
        images: Names of the images, in the same order.
        labels: Class names in the order of the classes; () if unknown.
    """
    figures = class_figures(answers, labels)
    _write(folder / CLASSES, list(figures[0]), (list(row.values()) for row in figures))
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
        answers: The answer to each image.
        classes: int (C,), sorted. Class indices, which must hold all that occur.

    Returns:
        int64 (C, C): rows are true classes, columns predicted ones.
    """
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    pairs = (np.searchsorted(classes, answers.classes), np.searchsorted(classes, answers.predicted))
    np.add.at(matrix, pairs, 1)
    return matrix


def _label(index, labels):
    return labels[index] if labels else str(index)


def _write(path, header, rows: Iterable):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _draw(matrix, names):
    """The matrix as a picture: the darker a cell, the more of a true class' images it holds."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    colors = np.where(np.eye(len(matrix), dtype=bool)[..., None], _RIGHT, _WRONG)
    pixels = 255 - np.sqrt(shares)[..., None] * (255 - colors)  # rare mistakes are seen, too
    cell = max(1, _SIDE // len(matrix))
    grid = Image.fromarray(pixels.round().astype(np.uint8))
    grid = grid.resize((cell * len(matrix),) * 2, Image.Resampling.NEAREST)
    named = len(names) <= _MOST_NAMED
    left, top = (_NAME, _NAME) if named else (30, 30)
    picture = Image.new("RGB", (left + grid.width + 10, top + grid.height + 10), _BACKGROUND)
    picture.paste(grid, (left, top))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=_FONT)
    draw.rectangle((left, top, left + grid.width, top + grid.height), outline="#c0c0c0")
    draw.text((6, 4), "rows: true class, columns: predicted", _TEXT, font)
    if cell >= _NUMBERED:
        for row, column in np.argwhere(matrix).tolist():
            center = (left + column * cell + cell // 2, top + row * cell + cell // 2)
            draw.text(center, f"{shares[row, column]:.0%}", _TEXT, font, anchor="mm")
    if named:
        for place, name in enumerate(names):
            middle = place * cell + cell // 2
            draw.text((left - 6, top + middle), _short(name), _TEXT, font, anchor="rm")
            column = _upright_name(name, font)
            picture.paste(column, (left + middle - column.width // 2, top - 4 - column.height))
    return picture


def _upright_name(name, font):
    """The name from bottom to top."""
    text = Image.new("RGB", (_NAME - 34, _FONT + 4), _BACKGROUND)
    ImageDraw.Draw(text).text((0, 1), _short(name), _TEXT, font)
    return text.transpose(Image.Transpose.ROTATE_90)


def _short(name):
    return name if len(name) <= 18 else f"{name[:16]}..."
