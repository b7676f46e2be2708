"""What an accuracy is made of, against counting by hand."""

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.evaluation.accuracy import Answers, measure_accuracy
from keras_poolformer.evaluation.classification_report import (
    class_figures,
    confusion_matrix,
    write_report,
)

LABELS = ("cat", "dog", "猫, a comma", "bird")
CLASSES = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [
        [5.0, 1.0, 0.0, 0.0],
        [1.0, 4.0, 0.0, 0.0],  # a cat taken for a dog, by 3
        [0.0, 0.0, 9.0, 0.0],  # a cat taken for a 猫, by 9
        [0.0, 2.0, 0.0, 0.0],
        [0.0, 2.0, 0.0, 0.0],
        [0.5, 0.0, 0.0, 0.0],  # by 0.5
    ]
)


@pytest.fixture
def answers():
    batches = [(SCORES[:4], CLASSES[:4]), (SCORES[4:], CLASSES[4:])]
    return measure_accuracy(lambda scores: scores, batches).answers


def test_answers_are_in_the_order_of_the_images(answers):
    assert answers.classes.tolist() == CLASSES.tolist()
    assert answers.predicted.tolist() == [0, 1, 2, 1, 1, 0]
    assert answers.margins.tolist() == [0, 3, 9, 0, 0, 0.5]


def test_figures_of_each_class(answers):
    figures = class_figures(answers, LABELS)
    assert [(f["label"], f["images"], f["correct"]) for f in figures] == [
        ("cat", 3, 1), ("dog", 2, 2), ("猫, a comma", 1, 0)
    ]  # fmt: skip
    assert [round(f["top1"], 1) for f in figures] == [33.3, 100, 0]
    assert [f["label"] for f in class_figures(answers)] == ["0", "1", "2"]


def test_rows_are_true_classes_and_columns_predicted_ones(answers):
    matrix = confusion_matrix(answers, np.arange(4))
    assert matrix.tolist() == [[1, 1, 1, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_the_report_can_be_read_back(answers, tmp_path):
    names = [f"{number}.png" for number in range(6)]
    write_report(tmp_path, answers, names, LABELS)
    with (tmp_path / "confusion.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["true class", "cat", "dog", "猫, a comma"],
        ["cat", "1", "1", "1"],
        ["dog", "0", "2", "0"],
        ["猫, a comma", "1", "0", "0"],
    ]
    mistakes = (tmp_path / "mistakes.csv").read_text(encoding="utf-8").splitlines()
    assert mistakes == [
        "image,label,predicted,margin",
        '2.png,cat,"猫, a comma",9',
        "1.png,cat,dog,3",
        '5.png,"猫, a comma",cat,0.5',
    ]
    classes = (tmp_path / "classes.csv").read_text(encoding="utf-8").splitlines()
    assert classes[1].startswith("0,cat,3,1,33.3")


def test_the_picture_is_dark_where_images_are(answers, tmp_path):
    write_report(tmp_path, answers, [str(number) for number in range(6)], LABELS)
    with Image.open(tmp_path / "confusion.png") as image:
        picture = np.asarray(image.convert("L"), int)
    cell = 900 // 3
    corners = [150 + 10 + number * cell for number in range(3)]  # away from the numbers
    darkness = 255 - picture[np.ix_(corners, corners)]
    matrix = np.array([[1, 1, 1], [0, 2, 0], [1, 0, 0]])
    assert ((darkness > 0) == (matrix > 0)).all()


def test_a_thousand_classes_make_a_picture(tmp_path):
    rng = np.random.default_rng(0)
    classes, predicted = rng.integers(0, 1000, (2, 5000))
    answers = Answers(classes, predicted, np.ones(5000), np.full(5000, 0.5))
    write_report(tmp_path, answers, ["a"] * 5000)
    with Image.open(tmp_path / "confusion.png") as picture:
        assert max(picture.size) < 1100


def test_the_page_shows_the_pictures_and_escapes_names(answers, tmp_path):
    write_report(tmp_path, answers, ["<a>.png"] * 6, LABELS, "6 images: top-1 50.00 %")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    HTMLParser().feed(page)
    assert "<h1>Evaluation</h1>\n<p>6 images: top-1 50.00 %; expected calibration error " in page
    assert all((tmp_path / name).exists() for name in re.findall(r'(?:src|href)="([^"]+)"', page))
    assert page.count("<td>&lt;a&gt;.png</td>") == 3
    assert "猫, a comma" in page
