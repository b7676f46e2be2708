"""Calibration against SciPy's binned statistics."""

import numpy as np
import pytest
from PIL import ImageColor
from scipy.special import softmax
from scipy.stats import binned_statistic

from keras_poolformer.evaluation.accuracy import Answers, measure_accuracy
from keras_poolformer.evaluation.calibration import (
    calibration_bins,
    calibration_error,
    draw_reliability,
)
from keras_poolformer.images.drawing import BLUE


@pytest.fixture
def logits():
    return 2 * np.random.default_rng(0).standard_normal((1000, 4))


@pytest.fixture
def classes():
    return np.random.default_rng(1).integers(0, 4, 1000)


@pytest.mark.parametrize("count", [10, 15])
def test_bins_are_those_of_scipy(logits, classes, count):
    answers = measure_accuracy(lambda scores: scores, [(logits, classes)]).answers
    confidences = softmax(logits, -1).max(-1)
    assert np.allclose(answers.confidences, confidences)
    is_right = logits.argmax(-1) == classes
    means = {
        name: binned_statistic(confidences, values, statistic, count, (0, 1)).statistic
        for name, values, statistic in (
            ("images", is_right, "count"),
            ("confidence", confidences, "mean"),
            ("accuracy", is_right, "mean"),
        )
    }
    bins = calibration_bins(answers, count)
    for name, expected in means.items():
        received = np.array([getattr(one, name) for one in bins], float)  # NaN for None
        assert np.allclose(received, expected, equal_nan=True)
    gaps = np.nan_to_num(abs(means["confidence"] - means["accuracy"]))
    assert calibration_error(bins) == pytest.approx((means["images"] * gaps).sum() / 1000)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    """As in the paper: intervals are open below and closed above."""
    ones = np.ones(3, int)
    answers = Answers(ones, ones, np.zeros(3), np.array([0.0, 0.5, 1.0]))
    assert [one.images for one in calibration_bins(answers, 2)] == [2, 1]


def test_probabilities_are_taken_as_they_are(logits, classes):
    def measured(scores, **options):
        return measure_accuracy(lambda x: x, [(scores, classes)], **options).answers.confidences

    probabilities = softmax(logits, -1)
    received = measured(probabilities, to_probabilities=lambda scores: scores)
    assert np.allclose(received, measured(logits))


def test_bars_are_as_high_as_the_accuracy():
    classes, predicted = np.zeros(4, int), np.array([0, 0, 0, 1])
    answers = Answers(classes, predicted, np.zeros(4), np.full(4, 0.9))
    picture = np.asarray(draw_reliability(calibration_bins(answers, 3)))
    is_bar = (picture == ImageColor.getrgb(BLUE)).all(-1)
    rows, columns = np.flatnonzero(is_bar.any(1)), np.flatnonzero(is_bar.any(0))
    assert (np.ptp(rows), np.ptp(columns)) == (round(0.75 * 450), 148)
