"""A report on an accuracy: figures of each class, a confusion matrix, and the mistakes."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.evaluation.accuracy import Answers
from keras_poolformer.evaluation.calibration import (
    calibration_bins,
    calibration_error,
    draw_reliability,
)
from keras_poolformer.evaluation.report import (
    CALIBRATION,
    CLASSES,
    MISTAKES,
    PICTURE,
    RELIABILITY,
    class_label,
    write_confusion,
    write_table,
)
from keras_poolformer.evaluation.report_page import Table, write_page

SHOWN_MISTAKES = 50  # on the page
_MISTAKE = ("image", "label", "predicted", "margin")


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
            "class": index, "label": class_label(index, labels), "images": images,
            "correct": correct, "top1": 100 * correct / images,
        })  # fmt: skip
    return figures


def write_report(
    folder: Path,
    answers: Answers,
    images: Sequence[str],
    labels: Sequence[str] = (),
    summary: str = "",
) -> None:
    """Writes the report into a folder.

    classes.csv has a line for each class; confusion.csv is the confusion matrix, with a row for
    each true class and a column for each predicted one, which confusion.png shows; mistakes.csv
    has a line for each misclassified image, the one with the largest margin first;
    calibration.csv has a line for each bin of reliability.png; index.html shows all of it.

    Args:
        folder: An existing, empty folder.
        answers: Predictions for all images.
        images: Names of the images, in the same order.
        labels: Class names in the order of the classes; () if unknown.
        summary: Figures of all classes together, for the page.
    """
    figures = class_figures(answers, labels)
    header, rows = list(figures[0]), [list(values.values()) for values in figures]
    write_table(folder / CLASSES, header, rows)
    present = np.union1d(answers.classes, answers.predicted)
    matrix = confusion_matrix(answers, present)
    names = [class_label(index, labels) for index in present.tolist()]
    write_confusion(folder, matrix, names)
    mistakes = _mistakes(answers, images, labels)
    write_table(folder / MISTAKES, _MISTAKE, mistakes)
    error = _write_calibration(folder, answers)
    write_page(
        folder,
        f"{summary}; expected calibration error {100 * error:.2f} %",
        [("Confusion matrix", PICTURE), ("Reliability", RELIABILITY)],
        [
            Table("Classes", CLASSES, header, rows),
            Table("Worst mistakes", MISTAKES, _MISTAKE, mistakes[:SHOWN_MISTAKES]),
        ],
    )


def _mistakes(answers: Answers, images: Sequence[str], labels: Sequence[str]) -> list[list[str]]:
    """A line for each misclassified image, the one with the largest margin first."""
    wrong = np.flatnonzero(answers.predicted != answers.classes)
    worst_first = wrong[np.argsort(-answers.margins[wrong], kind="stable")]
    return [
        [
            images[number],
            class_label(int(answers.classes[number]), labels),
            class_label(int(answers.predicted[number]), labels),
            f"{answers.margins[number]:.4g}",
        ]
        for number in map(int, worst_first)
    ]


def _write_calibration(folder: Path, answers: Answers) -> float:
    """Writes the bins and their picture; returns the expected calibration error."""
    bins = calibration_bins(answers)
    header = [field.name for field in fields(bins[0])]
    write_table(folder / CALIBRATION, header, (astuple(one) for one in bins))
    draw_reliability(bins).save(folder / RELIABILITY)
    return calibration_error(bins)


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
