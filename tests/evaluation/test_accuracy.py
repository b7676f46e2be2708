"""Top-1 and top-5 against counting by hand and against a sort in plain Python."""

from itertools import pairwise

import numpy as np
import pytest

from keras_poolformer.evaluation.accuracy import Accuracy, measure_accuracy
from keras_poolformer.support.errors import InputError


def identity(batch):
    return batch


def sorted_hits(scores, indices, top):
    """How many right classes are among the first `top`, by Python's stable sort."""
    hits = 0
    for row, index in zip(scores.tolist(), indices.tolist(), strict=True):
        ranking = sorted(range(len(row)), key=lambda one: -row[one])
        hits += index in ranking[:top]
    return hits


def test_accuracy_of_known_ranks():
    scores = np.array(
        [
            [9.0, 0.0, 1.0, 2.0, 3.0, 4.0],  # ranking 0 5 4 3 2 1
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],  # ranking 5 4 3 2 1 0
        ]
    )
    expected = {
        (0, 5): (100, 100),
        (1, 5): (50, 50),  # class 1 is the last of the first image
        (2, 1): (0, 100),  # both fifth
        (2, 0): (0, 50),
        (0, 4): (50, 100),
    }
    for indices, (top1, top5) in expected.items():
        assert measure_accuracy(identity, [(scores, np.array(indices))]) == Accuracy(2, top1, top5)


@pytest.mark.parametrize("classes", [5, 7, 1000])
@pytest.mark.parametrize("levels", [2, 30, None], ids=["many ties", "some ties", "no ties"])
def test_agrees_with_a_stable_sort(classes, levels):
    rng = np.random.default_rng(classes)
    scores = rng.standard_normal((200, classes)).astype("float32")
    if levels:
        scores = rng.integers(0, levels, (200, classes)).astype("float32")
    indices = rng.integers(0, classes, 200)
    indices[::3] = scores[::3].argmax(1)
    received = measure_accuracy(identity, [(scores, indices)])
    assert received.top1 == 100 * sorted_hits(scores, indices, 1) / 200
    assert received.top5 == 100 * sorted_hits(scores, indices, 5) / 200


def test_equal_scores_rank_the_lowest_class_first():
    """A model that says nothing is right on class 0, and on 0 to 4 among five."""
    for index in range(8):
        received = measure_accuracy(identity, [(np.zeros((1, 8)), np.array([index]))])
        assert received == Accuracy(1, 100.0 * (index == 0), 100.0 * (index < 5))


def test_batches_of_any_size_add_up():
    rng = np.random.default_rng(0)
    scores, indices = rng.standard_normal((50, 9)), rng.integers(0, 9, 50)
    whole = measure_accuracy(identity, [(scores, indices)])
    cuts = [0, 1, 20, 37, 50]
    parts = [(scores[a:b], indices[a:b]) for a, b in pairwise(cuts)]
    assert measure_accuracy(identity, iter(parts)) == whole
    assert whole.images == 50 and 0 < whole.top1 < whole.top5 < 100


def test_predict_sees_the_batch():
    batch = np.arange(6.0).reshape(2, 3)
    received = measure_accuracy(lambda images: -images, [(batch, np.array([0, 2]))])
    assert received.top1 == 50


@pytest.mark.parametrize(("classes", "has_top5"), [(4, False), (5, True)])
def test_top5_needs_five_classes(classes, has_top5):
    received = measure_accuracy(identity, [(np.eye(classes), np.arange(classes))])
    assert received.top5 == (100 if has_top5 else None)
    expected = {"images": classes, "top1": 100.0} | ({"top5": 100.0} if has_top5 else {})
    assert received.to_dict() == expected


@pytest.mark.parametrize(
    ("scores", "indices", "message"),
    [
        (np.zeros((2, 3)), [0, 3], r"0 to 2. Received: 3"),
        (np.zeros((2, 3)), [-1, 0], r"0 to 2. Received: -1"),
        (np.zeros((1, 3)), [0, 0], r"shape \(2, classes\). Received: \(1, 3\)"),
        (np.zeros(3), [0], r"shape \(1, classes\). Received: \(3,\)"),
        (np.array([[0.0, np.nan]]), [1], "NaN"),
    ],
)
def test_unusable_scores_are_refused(scores, indices, message):
    with pytest.raises(InputError, match=message):
        measure_accuracy(identity, [(scores, np.array(indices))])


def test_no_images_are_refused():
    with pytest.raises(InputError, match="at least one image"):
        measure_accuracy(identity, [])
