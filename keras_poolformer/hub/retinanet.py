"""A detector's start: the prior probability that KerasHub 0.32.0 gives to the wrong head."""

import math
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


def set_prior_probability(detector: Any, probability: float = 0.01) -> None:
    """Starts a fresh RetinaNet as its paper does (arXiv 1708.02002, section 4.1).

    KerasHub 0.32.0 passes `use_prior_probability` to the head of boxes, not to that of classes: a
    fresh detector predicts each class with 50 % everywhere, and boxes far from their anchors,
    and its first losses are in the thousands. This sets both biases right. Call it before
    training starts: it overwrites what was learned.

    Args:
        detector: A `keras_hub.models.RetinaNetObjectDetector` with fresh heads.
        probability: Probability of each class in each place, between 0 and 1.

    Raises:
        InputError: The detector has no such heads, or the probability is out of range.
    """
    if not 0 < probability < 1:
        raise InputError(f"`probability` must be between 0 and 1. Received: {shown(probability)}")
    biases = {"classification_head": -math.log((1 - probability) / probability), "box_head": 0.0}
    for name, value in biases.items():
        layer = getattr(getattr(detector, name, None), "prediction_layer", None)
        if layer is None:
            raise InputError(
                "`detector` must be a keras_hub.models.RetinaNetObjectDetector. "
                f"Received: {type(detector).__name__}"
            )
        layer.bias.assign(np.full(layer.bias.shape, value, np.float32))
