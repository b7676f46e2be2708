"""Scores of logits, beside SciPy's functions."""

import numpy as np
import pytest
from scipy import special

from keras_poolformer.scores import PROBLEM_TYPES, score_text, scores, top_classes

LOGITS = np.float32([[0, 1, -1, 3], [1e4, -1e4, 800, -800]])


@pytest.mark.parametrize(
    ("problem_type", "expected"),
    [
        (None, special.softmax(LOGITS.astype(np.float64), axis=-1)),
        ("single_label_classification", special.softmax(LOGITS.astype(np.float64), axis=-1)),
        ("multi_label_classification", special.expit(LOGITS.astype(np.float64))),
        ("regression", LOGITS),
    ],
)
def test_scores_by_problem_type(problem_type, expected):
    np.testing.assert_allclose(scores(LOGITS, problem_type), expected, rtol=1e-12, atol=1e-300)


def test_a_single_logit_is_a_probability_unless_it_is_a_value():
    single = LOGITS[0, :, None]
    for problem_type in (None, *PROBLEM_TYPES[1:2]):
        np.testing.assert_allclose(scores(single, problem_type), special.expit(single), rtol=1e-6)
    np.testing.assert_array_equal(scores(single, "regression"), single)


def test_equal_scores_rank_by_number():
    assert top_classes(np.array([1, 3, 3, 2]), None, 3) == [("1", 3), ("2", 3), ("3", 2)]
    assert top_classes(np.array([0.25, 0.75]), ["a", "b"], 9) == [("b", 0.75), ("a", 0.25)]


def test_probabilities_read_as_percentages_and_values_as_numbers():
    assert score_text(0.1234, None) == "12.3%"
    assert score_text(-123.456, "regression") == "-123.5"
