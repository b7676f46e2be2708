"""Rounding to 4 bits: next to the best of all roundings, and to the nearest levels."""

import itertools

import numpy as np
import pytest

from keras_poolformer.export.rounding import (
    HIGHEST,
    InputStatistics,
    corrected_bias,
    round_for_inputs,
)


def layer(inputs, outputs, rows=4000):
    """(Inputs that vary together and have means, weights) of a linear layer."""
    random = np.random.default_rng(0)
    mixing = random.standard_normal((inputs, inputs)) * np.linspace(0.2, 2, inputs)
    x = random.standard_normal((rows, inputs)) @ mixing + random.standard_normal(inputs)
    return x.astype(np.float32), random.standard_normal((inputs, outputs))


def statistics_of(x):
    statistics = InputStatistics(x.shape[-1])
    for part in np.array_split(x, 3):
        statistics.add(part)
    return statistics


def output_error(x, change):
    """Relative error of centered outputs: their means are the bias's."""
    outputs = x @ change
    return np.linalg.norm(outputs - outputs.mean(0))


def test_statistics_are_numpys():
    x, _ = layer(6, 1)
    statistics = statistics_of(x)
    np.testing.assert_allclose(statistics.mean, x.mean(0, np.float64), rtol=1e-5)
    expected = np.cov(x.astype(np.float64), rowvar=False, bias=True)
    np.testing.assert_allclose(statistics.covariance, expected, rtol=1e-4, atol=1e-4)


def test_a_large_mean_leaves_the_covariance_its_digits():
    x, weights = layer(6, 3)
    expected = statistics_of(x).covariance
    statistics = statistics_of(x + np.float32(1000))
    # Measured 1.9e-6; products of the inputs as they are would be off by 0.14.
    assert abs(statistics.covariance - expected).max() <= 1e-4
    np.testing.assert_array_equal(
        round_for_inputs(weights, statistics).levels,
        round_for_inputs(weights, statistics_of(x)).levels,
    )


def test_outputs_change_less_than_by_rounding_to_the_nearest():
    """Measured: 0.64 times as much, with the same steps."""
    x, weights = layer(48, 32)
    rounded = round_for_inputs(weights, statistics_of(x))
    nearest = np.clip(np.round(weights / rounded.scales), -HIGHEST, HIGHEST) * rounded.scales
    ratio = output_error(x, rounded.weights - weights) / output_error(x, nearest - weights)
    print(f"{ratio:.2f}")
    assert ratio <= 0.75


def test_it_is_near_the_best_of_all_roundings():
    """Of three weights all 15^3 roundings are tried. Measured: 1.00 to 1.25 times the best."""
    x, weights = layer(3, 8)
    rounded = round_for_inputs(weights, statistics_of(x))
    levels = np.array(list(itertools.product(range(-HIGHEST, HIGHEST + 1), repeat=3)))
    centered = x - x.mean(0)
    for output, scale in enumerate(rounded.scales):
        errors = np.linalg.norm(centered @ (levels * scale - weights[:, output]).T, axis=0)
        change = rounded.weights[:, output] - weights[:, output]
        ratio = np.linalg.norm(centered @ change) / errors.min()
        print(f"{ratio:.2f}")
        assert ratio <= 2


def test_the_mean_of_the_outputs_is_kept():
    x, weights = layer(48, 32)
    statistics = statistics_of(x)
    rounded = round_for_inputs(weights, statistics)
    bias = np.linspace(-1, 1, 32)
    corrected = corrected_bias(bias, weights, rounded, statistics.mean)
    change = (x @ rounded.weights + corrected - x @ weights - bias).mean(0)
    assert abs(change).max() <= 1e-3  # without the correction 0.3
    assert abs(x @ (rounded.weights - weights)).mean(0).max() > 0.1


@pytest.mark.parametrize("silent", ["weights", "inputs"])
def test_zeros(silent):
    """Weights of pruned outputs, inputs behind a dead ReLU."""
    x, weights = layer(16, 4)
    weights[:, 0] *= silent != "weights"
    x *= silent != "inputs"
    rounded = round_for_inputs(weights, statistics_of(x))
    assert np.isfinite(rounded.scales).all() and (rounded.scales > 0).all()
    assert abs(rounded.levels).max() == HIGHEST
    if silent == "weights":
        assert not rounded.levels[:, 0].any()


def test_levels_are_whole_and_symmetric():
    x, weights = layer(200, 8)  # more inputs than go into one product of matrices
    rounded = round_for_inputs(weights * [[1, 2, 4, 8, 1e-3, 1e3, 1, 1]], statistics_of(x))
    assert rounded.levels.dtype == np.int8 and rounded.scales.dtype == np.float32
    assert rounded.levels.min() == -HIGHEST and rounded.levels.max() == HIGHEST
