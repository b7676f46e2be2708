"""The range of numbers of each 8-bit tensor: recorded over calibration images, then fitted.

The network passes every tensor that will have 8 bits through a marker, `mark(place, tensor)`: one
records values, another rounds as the integer file will, which also tells the converter the range.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from keras_poolformer.export.networks.places import Place

SAMPLES = 2_000  # values kept of each tensor and batch; m48 has 1,200 tensors
PROBABILITIES_RANGE = (0.0, 255 / 256)  # of LiteRT's integer softmax and logistic
SHRINKING = np.linspace(1.0, 0.2, 33)  # factors that ranges are tried with
# Least width of a sum's range, relative to its widest term's: one step of that term. A narrower
# sum holds only the term's rounding, and LiteRT's kernels overflow where it is narrower by far.
LEAST_SUM = 2**-8

Range: TypeAlias = tuple[float, float]


class Marker:
    """Lets every tensor pass unchanged: the exact network."""

    def __call__(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Returns `tensor`, which is at `place`."""
        return tensor

    def sum(self, place: Place, tensor: tf.Tensor, terms: Sequence[Place]) -> tf.Tensor:
        """Returns `tensor`, which is at `place`: the sum or difference of those at `terms`."""
        return self(place, tensor)

    def like(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Returns a tensor that is to have the range of the one at `place`."""
        return tensor

    def probabilities(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns a tensor that is to have the range of LiteRT's softmax and logistic."""
        return tensor


class Recorder(Marker):
    """Lets tensors pass unchanged; keeps their extremes and a sample of their values."""

    def __init__(self) -> None:
        self._samples: dict[Place, list[np.ndarray]] = {}
        self._extremes: dict[Place, Range] = {}
        self._terms: dict[Place, Sequence[Place]] = {}  # of sums

    def __call__(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Records `tensor` and returns it."""
        values = np.asarray(tensor).ravel()
        samples = self._samples.setdefault(place, [])
        low, high = self._extremes.get(place, (0.0, 0.0))
        self._extremes[place] = min(low, values.min()), max(high, values.max())
        if values.size > SAMPLES:
            generator = np.random.default_rng(len(samples))
            values = values[generator.integers(0, values.size, SAMPLES)]
        samples.append(values)
        return tensor

    def sum(self, place: Place, tensor: tf.Tensor, terms: Sequence[Place]) -> tf.Tensor:
        """Records `tensor` and what it is the sum of, and returns it."""
        self._terms[place] = terms
        return self(place, tensor)

    def ranges(self) -> dict[Place, Range]:
        """Returns the range of each tensor, (low, high), fitted to what was recorded."""
        ranges: dict[Place, Range] = {}
        for place, samples in self._samples.items():  # terms come before their sum
            fitted = fit_range(np.concatenate(samples), *self._extremes[place])
            terms = [ranges[term] for term in self._terms.get(place, ())]
            widest = max((high - low for low, high in terms), default=0.0)
            ranges[place] = _widened(fitted, LEAST_SUM * widest)
        return ranges


class Quantizer(Marker):
    """Rounds tensors to 8 bits in their ranges, in a form that the converter understands.

    Args:
        ranges: Range of each tensor, (low, high).
    """

    def __init__(self, ranges: Mapping[Place, Range]) -> None:
        self._ranges = ranges

    def __call__(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Returns `tensor`, rounded."""
        return _rounded(tensor, self._ranges[place])

    def like(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        """Returns `tensor`, rounded in the range of the one at `place`."""
        return self(place, tensor)

    def probabilities(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns `tensor`, rounded in the range that LiteRT's softmax and logistic have."""
        return _rounded(tensor, PROBABILITIES_RANGE)


def _rounded(tensor: tf.Tensor, limits: Range) -> tf.Tensor:
    low, high = limits
    return tf.quantization.fake_quant_with_min_max_vars(tensor, low, high, num_bits=8)


def _widened(limits: Range, width: float) -> Range:
    """A range at least `width` wide, with 0 in the same part of it."""
    low, high = limits
    factor = max(1.0, width / (high - low))
    return low * factor, high * factor


def fit_range(values: np.ndarray, low: float, high: float) -> Range:
    """Returns the range, with 0 in it, whose 256 steps have the least mean square error.

    Covering the extremes makes the steps of a long-tailed tensor too coarse; a smaller range
    clips them. The range from `low` to `high` is shrunk by the best factor of `SHRINKING`.

    Args:
        values: Sample of a tensor's values.
        low: Smallest value of the tensor, at most 0.
        high: Largest value of the tensor, at least 0.
    """
    if low == high:
        return 0.0, 1.0
    errors = [_error(values, low * factor, high * factor) for factor in SHRINKING]
    best = SHRINKING[int(np.argmin(errors))]
    return float(low * best), float(high * best)


def _error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    rounded = np.round((np.clip(values, low, high) - low) / step) * step + low
    return float(np.mean((rounded - values) ** 2))
