"""What a report on a segmenter shows: figures, the worst images first, and their pictures."""

import csv

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.data.masked import MaskedFolder
from keras_poolformer.data.masks import MaskedImage
from keras_poolformer.evaluation.segmentation import DRAWN, measure_segmenter
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.evaluation.worst_images import draw_segmented
from keras_poolformer.images.drawing import MARGIN

LABELS = ("sky", "sea, deep", "boat", "bird")
SIDE = 10  # pixels of an image
COUNT = DRAWN + 2


@pytest.fixture
def measured(tmp_path):
    """Of a segmenter that always says "sky": image n has n rows of sea; the last has no label."""
    files = []
    for number in range(COUNT):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[:number] = 1
        if number == COUNT - 1:
            mask[:] = 255
        paths = MaskedImage(tmp_path / f"{number}.png", tmp_path / f"{number}_mask.png")
        Image.new("RGB", (SIDE, SIDE), (number, 0, 0)).save(paths.image)
        Image.fromarray(mask).save(paths.mask)
        files.append(paths)
    segmenter = Segmenter("x", lambda image: np.zeros((SIDE, SIDE), np.uint8), 4, LABELS)
    return measure_segmenter(segmenter, MaskedFolder(names_from="x", files=files))


def test_figures_count_by_hand(measured):
    sea = SIDE * sum(range(COUNT - 1))
    sky = SIDE * SIDE * (COUNT - 1) - sea
    iou = 100 * sky / (sky + sea)
    assert measured.to_dict() == pytest.approx({
        "images": COUNT, "mean_iou": iou / 2, "mean_accuracy": 50, "pixel_accuracy": iou,
    })  # fmt: skip
    assert measured.class_figures() == [
        {"class": 0, "label": "sky", "pixels": sky, "iou": pytest.approx(iou), "accuracy": 100},
        {"class": 1, "label": "sea, deep", "pixels": sea, "iou": 0, "accuracy": 0},
    ]


def test_a_class_that_is_never_true_has_no_accuracy(measured):
    guess = Segmenter("x", lambda image: np.full((SIDE, SIDE), 3, np.uint8), 4)
    again = measure_segmenter(guess, MaskedFolder(names_from="x", files=measured_files(measured)))
    *_, bird = again.class_figures()
    assert (bird["label"], bird["pixels"], bird["iou"], bird["accuracy"]) == ("3", 0, 0, None)
    assert again.class_lines()[-1].split() == ["IoU", "0.00", "%", "accuracy", "-", "3"]


def measured_files(measured):
    return list(measured.examples.pairs)


def test_the_report_can_be_read_back(measured, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    measured.write_report(folder)
    with (folder / "images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["image"].rpartition("/")[2] for row in rows]
    assert names == [f"{number}.png" for number in (*range(COUNT - 2, -1, -1), COUNT - 1)]
    assert (rows[-1]["mean_iou"], rows[-2]["mean_iou"]) == ("", "100")
    with (folder / "classes.csv").open(encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["sky", "sea, deep"]
    pictures = sorted((folder / "worst").iterdir())
    assert [path.name for path in pictures] == [f"{rank}.png" for rank in range(1, DRAWN + 1)]


def test_a_picture_has_three_panels():
    picture = Image.new("RGB", (4, 2), (100, 100, 100))
    mask, predicted = np.full((2, 4), 255, np.uint8), np.ones((2, 4), np.uint8)
    drawn = draw_segmented(picture, mask, predicted, "x", [(0, 0, 0), (200, 0, 0)])
    row = np.asarray(drawn)[-MARGIN - 1]  # the last row of the panels, above the margin
    panels = [row[x : x + 4] for x in MARGIN + np.arange(3) * (4 + MARGIN)]
    for panel, color in zip(panels, [(100,) * 3, (100,) * 3, (150, 50, 50)], strict=True):
        assert (panel == color).all()


def test_large_images_are_drawn_smaller():
    mask = np.zeros((600, 3000), np.uint8)
    assert draw_segmented(Image.new("RGB", (3000, 600)), mask, mask, "x").width < 1600
