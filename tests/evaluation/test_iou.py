"""Intersection over union, against mmsegmentation's way of counting, with PyTorch's histograms."""

import numpy as np
import pytest

from keras_poolformer.evaluation.iou import IouMeter
from tests.helpers import error_line

torch = pytest.importorskip("torch")
CLASSES = 6


def mmsegmentations(maps):
    """`IoUMetric.intersect_and_union` of each image, summed, and `total_area_to_metrics`."""
    areas = torch.zeros(3, CLASSES, dtype=torch.float64)
    for predicted, true in maps:
        predicted, true = (torch.from_numpy(a.astype(np.int64)) for a in (predicted, true))
        predicted, true = predicted[true != 255], true[true != 255]
        for row, labels in enumerate((predicted[predicted == true], predicted, true)):
            areas[row] += torch.histc(labels.float(), CLASSES, 0, CLASSES - 1)
    hits, predicted, true = areas
    return {
        "pixel_accuracy": 100 * hits.sum() / true.sum(),
        "iou": (100 * hits / (predicted + true - hits)).numpy(),
        "accuracy": (100 * hits / true).numpy(),
    }


@pytest.fixture(scope="module")
def maps():
    """Of images of several sizes: some pixels ignored, one class never there, one only guessed."""
    random = np.random.default_rng(0)
    pairs = []
    for size in ((20, 30), (7, 5), (64, 64)):
        true = random.integers(0, 4, size).astype(np.uint8)
        predicted = np.where(random.random(size) < 0.6, true, random.integers(0, 5, size))
        true[random.random(size) < 0.1] = 255
        pairs.append((predicted.astype(np.uint8), true))
    return pairs


def test_scores_are_mmsegmentations(maps):
    meter = IouMeter(CLASSES)
    for predicted, true in maps:
        meter.add(predicted, true)
    scores, expected = meter.scores(), mmsegmentations(maps)
    np.testing.assert_allclose(scores.iou, expected["iou"], rtol=1e-12)
    np.testing.assert_allclose(scores.accuracy, expected["accuracy"], rtol=1e-12)
    assert np.isnan(scores.iou[5]) and scores.iou[4] == 0
    assert scores.mean_iou == pytest.approx(np.nanmean(expected["iou"]), rel=1e-12)
    assert scores.to_dict() == {
        "images": 3,
        "mean_iou": scores.mean_iou,
        "mean_accuracy": pytest.approx(np.nanmean(expected["accuracy"]), rel=1e-12),
        "pixel_accuracy": pytest.approx(float(expected["pixel_accuracy"]), rel=1e-12),
    }


def test_what_cannot_be_counted_is_refused():
    meter = IouMeter(3)
    zeros = np.zeros((2, 2), np.uint8)
    assert "the mask's shape (2, 2). Received: (2, 3)" in error_line(
        meter.add, np.zeros((2, 3), np.uint8), zeros
    )
    assert "true labels must be 0 to 2" in error_line(meter.add, zeros, zeros + 3)
    assert "predicted labels must be 0 to 2" in error_line(meter.add, zeros + 9, zeros)
    assert "at least one pixel" in error_line(meter.scores)
    meter.add(zeros + 9, zeros + 255)  # ignored, whatever is predicted
    assert "at least one pixel" in error_line(meter.scores)
