"""Turns logits into scores, and scores into a list of the best classes."""

from collections.abc import Sequence

import numpy as np

from keras_poolformer.support.numeric import whole_number

MAX_COUNT = 1_000_000  # classes
# transformers' names for the meaning of logits.
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


def score_function(problem_type: str | None, num_classes: int) -> str:
    """Returns the name of the function from logits to scores, as transformers' pipeline has it.

    Args:
        problem_type: One of `PROBLEM_TYPES`, or None where the model does not state it.
        num_classes: Number of classes.

    Returns:
        "softmax" or "sigmoid", which give probabilities, or "identity" for the values of a
        regression.
    """
    if problem_type == "regression":
        return "identity"
    if problem_type == "multi_label_classification" or num_classes == 1:
        return "sigmoid"
    return "softmax"


def scores(logits: np.ndarray, problem_type: str | None = None) -> np.ndarray:
    """Returns the scores of logits, float64 (..., classes).

    Args:
        logits: Output of a classifier, (..., classes).
        problem_type: One of `PROBLEM_TYPES`, or None where the model does not state it.
    """
    logits = np.asarray(logits, np.float64)
    function = score_function(problem_type, logits.shape[-1])
    if function == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))  # 1 / (1 + exp(-x)) without an overflow
    return softmax(logits) if function == "softmax" else logits


def score_name(problem_type: str | None) -> str:
    """Returns the name of a score in tables and JSON: "probability", or "value" of a regression."""
    return "value" if problem_type == "regression" else "probability"


def score_text(score: float, problem_type: str | None) -> str:
    """Formats a score as a percentage, or as the value of a regression."""
    return f"{score:.4g}" if problem_type == "regression" else f"{score:.1%}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities, float64, of logits (..., classes) of exclusive classes."""
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def top_classes(
    scores: np.ndarray, labels: Sequence[str] | None, count: int
) -> list[tuple[str, float]]:
    """Returns the classes of one image with the highest scores.

    Args:
        scores: Scores of the classes, (classes,).
        labels: Names of the classes in order; None or empty to use their numbers.
        count: Number of classes to return; errors call it `top_k`.

    Returns:
        [(label, score), ...], the highest score first.

    Raises:
        InputError: `count` is not a whole number, or less than 1.
    """
    count = whole_number("top_k", count, 1, MAX_COUNT)
    best = np.argsort(-np.asarray(scores), kind="stable")[:count]
    return [(str(labels[index] if labels else index), float(scores[index])) for index in best]
