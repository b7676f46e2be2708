"""One way to run classifiers: what `predict` and `evaluate` share."""

import numpy as np
import pytest

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.evaluation.scorer import Scorer, open_scorer
from keras_poolformer.support.errors import InputError
from tests.helpers import PRESET

OUTPUTS = np.array([[0.1, 0.7, 0.2]])


def scorer_of(**fields):
    """A classifier whose outputs are fixed."""
    return Scorer(
        name="x", predict=lambda images: OUTPUTS, prepare=np.asarray, num_classes=3,
        labels=("cat", "dog", "owl"), **fields,
    )  # fmt: skip


@pytest.mark.slow
def test_a_keras_model_classifies_as_the_model_itself(photographs):
    model = PoolFormerImageClassifier.from_preset(PRESET)
    scorer = open_scorer(PRESET)
    for photo in photographs[:2]:
        received, expected = scorer.classify(photo, 3), model.classify(photo, 3)
        assert [label for label, _ in received] == [label for label, _ in expected]
        for (_, ours), (_, theirs) in zip(received, expected, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-6)
    batch = scorer.scores(np.stack([scorer.prepare(photo) for photo in photographs[:2]]))
    assert batch.shape == (2, 10)
    np.testing.assert_allclose(batch.sum(1), 1, atol=1e-6)
    with pytest.raises(InputError, match="`top_k` must be"):
        scorer.classify(photographs[0], 0)


def test_logits_become_scores_and_probabilities_stay():
    softmax = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum()
    np.testing.assert_allclose(scorer_of().scores(OUTPUTS), softmax)
    assert scorer_of(outputs="probabilities").classify([0], 2) == [("dog", 0.7), ("owl", 0.2)]
    regression = scorer_of(problem_type="regression")
    assert regression.classify([0], 1) == [("dog", 0.7)]


def test_accuracy_needs_one_class_for_each_image():
    scorer_of().require_one_class()
    for problem_type in ("regression", "multi_label_classification"):
        with pytest.raises(InputError, match=problem_type):
            scorer_of(problem_type=problem_type).require_one_class()
