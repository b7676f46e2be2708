"""Rounding of a linear layer's weights to 4 bits, so that its outputs change little.

Rounding to the nearest level changes each weight least; what counts is the layer's output. GPTQ
(Frantar et al., arXiv 2210.17323) knows how the inputs vary together: it rounds the weights of one
input after the other, and after each one moves those of the inputs still to come such that they
compensate for its error. The error's mean goes into the bias.
"""

from dataclasses import dataclass, field

import numpy as np

HIGHEST = 7  # level; the lowest is -7: LiteRT's own kernel takes -8 for 8
DAMPING = 0.01  # share of the inputs' mean variance that is added to each variance
BLOCK = 128  # inputs whose errors reach the others in one product of matrices
# Largest weights of an output that become HIGHEST, as shares of its largest weight.
CLIPPINGS = np.linspace(0.4, 1.0, 25)


@dataclass(frozen=True)
class RoundedWeights:
    """Weights in 4 bits.

    Args:
        levels: int8 (inputs, outputs), from -`HIGHEST` to `HIGHEST`.
        scales: Step of each output's weights, float32 (outputs,).
    """

    levels: np.ndarray
    scales: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The weights that the levels stand for, (inputs, outputs)."""
        return self.levels * self.scales.astype(np.float64)


@dataclass
class InputStatistics:
    """Mean and covariance of a layer's inputs, summed up a few rows at a time.

    Args:
        width: Number of the layer's inputs.
    """

    width: int
    _count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._origin = np.zeros(self.width, np.float32)
        self._sum = np.zeros(self.width)
        self._products = np.zeros((self.width, self.width))

    def add(self, rows: np.ndarray) -> None:
        """Adds inputs.

        Args:
            rows: float32 (..., width).
        """
        rows = rows.reshape(-1, self.width)
        if not self._count:  # a large mean would cost the products their digits
            self._origin = rows.mean(0)
        rows = rows - self._origin
        self._count += len(rows)
        self._sum += rows.sum(0, np.float64)
        self._products += rows.T @ rows

    @property
    def mean(self) -> np.ndarray:
        """Mean of each input, (width,)."""
        return self._origin + self._sum / self._count

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the inputs, (width, width)."""
        shift = self._sum / self._count
        return self._products / self._count - np.outer(shift, shift)


def round_for_inputs(weights: np.ndarray, statistics: InputStatistics) -> RoundedWeights:
    """Rounds weights such that the layer's outputs change little: GPTQ.

    Args:
        weights: (inputs, outputs).
        statistics: Of inputs like those that the layer will see.
    """
    covariance = statistics.covariance
    variances = np.diag(covariance)
    scales = _fitted_scales(weights, variances)
    damping = _nonzero(DAMPING * variances.mean())
    # Those that matter most are rounded first, when the most others can still compensate.
    order = np.argsort(-variances)
    damped = (covariance + damping * np.eye(len(order)))[np.ix_(order, order)]
    compensation = np.linalg.cholesky(np.linalg.inv(damped)).T
    levels = np.empty(weights.shape, np.int8)
    levels[order] = _round_in_turn(weights[order], compensation, scales)
    return RoundedWeights(levels, scales.astype(np.float32))


def corrected_bias(
    bias: np.ndarray, weights: np.ndarray, rounded: RoundedWeights, mean: np.ndarray
) -> np.ndarray:
    """Returns a bias with which rounded weights leave the outputs' mean as it was.

    Args:
        bias: Bias of the layer, (outputs,).
        weights: Weights before rounding, (inputs, outputs).
        rounded: Weights after rounding.
        mean: Mean of each input, (inputs,).
    """
    return bias + mean @ (weights - rounded.weights)


def _levels(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.clip(np.round(weights / scales), -HIGHEST, HIGHEST)


def _nonzero(values: np.ndarray) -> np.ndarray:
    """Numbers to divide by: those of zero weights or constant inputs become 1."""
    return np.where(values > 0, values, 1.0)


def _fitted_scales(weights: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """The step of each output: of several, the one with the least error in uncorrelated inputs."""
    largest = _nonzero(abs(weights).max(0)) / HIGHEST
    candidates = CLIPPINGS[:, None] * largest
    errors = [
        variances @ (_levels(weights, scales) * scales - weights) ** 2 for scales in candidates
    ]
    best = np.argmin(errors, 0)
    # As the file stores them, so that what is compensated for is what will be computed.
    return candidates[best, np.arange(len(best))].astype(np.float32).astype(np.float64)


def _round_in_turn(weights: np.ndarray, compensation: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The levels of weights, each input's chosen after the errors of those before it.

    Args:
        weights: (inputs, outputs), in the order of rounding.
        compensation: Upper Cholesky factor of the inverse of the inputs' covariance: row i over
            its diagonal entry says how later inputs make up for an error in input i.
        scales: Step of each output's weights, (outputs,).
    """
    weights = weights.astype(np.float64)  # a copy
    levels = np.empty_like(weights)
    for start in range(0, len(weights), BLOCK):
        end = min(start + BLOCK, len(weights))
        errors = np.empty((end - start, weights.shape[1]))
        for row in range(start, end):
            levels[row] = _levels(weights[row], scales)
            error = (weights[row] - levels[row] * scales) / compensation[row, row]
            weights[row + 1 : end] -= np.outer(compensation[row, row + 1 : end], error)
            errors[row - start] = error
        weights[end:] -= compensation[start:end, end:].T @ errors
    return levels
