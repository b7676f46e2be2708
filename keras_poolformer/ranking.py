"""From logits to the classes that a person reads."""

import numpy as np


def softmax(logits):
    """Probabilities, float64, of logits (..., classes)."""
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def top_classes(probabilities, labels, count):
    """The most probable classes of one image.

    Args:
        probabilities: (classes,).
        labels: names in the order of the classes; None or empty to use their numbers.
        count: how many.

    Returns:
        [(label, probability), ...], the most probable first.
    """
    best = np.argsort(-np.asarray(probabilities), kind="stable")[:count]
    return [
        (labels[index] if labels else str(index), float(probabilities[index])) for index in best
    ]
