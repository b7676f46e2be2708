"""Medians over rounds, ratios of them, and intervals that assume nothing of the noise.

What is estimated is the median over rounds of each round's median, or of the quotient of two
contestants' medians in the same round: pairing takes the machine's drift out. The 95 %
interval lies between two order statistics of the rounds' values: that the true median is
outside the k-th smallest and the k-th largest of n has the probability
2 * P(Binomial(n, 1/2) < k), whatever the distribution. k is the largest for which that is at
most 5 %; six rounds are the fewest that have one.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from keras_poolformer.support.errors import InputError

CONFIDENCE = 0.95
FEWEST_ROUNDS = 6


@dataclass(frozen=True)
class Estimate:
    """A median with the interval that holds the true one with 95 %."""

    value: float
    low: float
    high: float

    def to_dict(self):
        """Returns the three numbers by name."""
        return asdict(self)


def estimate(values):
    """The `Estimate` of the rounds' values."""
    ordered = np.sort(np.asarray(values, float))
    rank = interval_rank(len(ordered))
    return Estimate(float(np.median(ordered)), float(ordered[rank - 1]), float(ordered[-rank]))


def ratio(values, reference):
    """The `Estimate` of one contestant's rounds over another's, round by round."""
    return estimate(np.asarray(values, float) / np.asarray(reference, float))


def interval_rank(rounds):
    """Which smallest and largest of the rounds' values bound the interval; 1 is the extremes."""
    if rounds < FEWEST_ROUNDS:
        raise InputError(
            f"`rounds` must be at least {FEWEST_ROUNDS}: the extremes of fewer do not hold the "
            f"median with {CONFIDENCE:.0%}. Received: {rounds}"
        )
    rank = 1
    while coverage(rounds, rank + 1) >= CONFIDENCE:
        rank += 1
    return rank


def coverage(rounds, rank):
    """Probability that the median lies between the rank-th smallest and largest values."""
    return 1 - 2 * sum(math.comb(rounds, i) for i in range(rank)) / 2**rounds
