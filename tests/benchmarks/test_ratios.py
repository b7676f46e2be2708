"""Intervals and targets on numbers whose truth is known."""

import numpy as np
import pytest

from benchmarks import ratios, targets
from keras_poolformer.support.errors import InputError

S12 = "poolformer_s12"


@pytest.mark.parametrize(
    ("rounds", "rank"), [(6, 1), (7, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4)]
)
def test_ranks_are_those_of_the_sign_test(rounds, rank):
    assert ratios.interval_rank(rounds) == rank
    assert ratios.coverage(rounds, rank) >= 0.95 > ratios.coverage(rounds, rank + 1)


def test_too_few_rounds_have_no_interval():
    assert ratios.coverage(5, 1) < 0.95
    with pytest.raises(InputError, match=r"`rounds` must be at least 6.*Received: 5"):
        ratios.estimate([1.0] * 5)


@pytest.mark.parametrize("rounds", [6, 9, 12])
def test_the_interval_holds_the_median_as_often_as_it_says(rounds):
    """On a skewed distribution, whose median is 1."""
    samples = np.random.default_rng(0).lognormal(0.0, 0.7, (4000, rounds))
    estimates = [ratios.estimate(sample) for sample in samples]
    held = np.mean([one.low <= 1.0 <= one.high for one in estimates])
    assert held == pytest.approx(ratios.coverage(rounds, ratios.interval_rank(rounds)), abs=0.012)


def test_one_wild_round_leaves_the_interval_of_nine():
    values = [1.0, 1.01, 1.02, 0.99, 1.0, 1.01, 1.0, 0.98, 50.0]
    assert ratios.estimate(values).high < 1.03


def test_pairing_takes_drift_out():
    drift = np.linspace(1.0, 3.0, 9)  # the machine gets three times slower
    one = ratios.ratio(1.2 * drift, drift)
    assert (one.low, one.value, one.high) == pytest.approx((1.2, 1.2, 1.2))
    unpaired = ratios.estimate(1.2 * drift)
    assert unpaired.high > 1.5 * unpaired.low


def test_a_target_is_judged_by_the_lower_end():
    fast, slow = np.ones(9), np.array([1.02, 1.02, 1.02, 1.05, 1.06, 1.07, 1.08, 1.09, 1.1])
    rows = targets.check_targets({"latency": {"ours-fp32": slow, "floor-fp32": fast}}, S12)
    assert rows[0]["target"] == "latency: ours-fp32 <= 1.03 x floor-fp32"
    assert rows[0]["ratio"] == pytest.approx({"value": 1.06, "low": 1.02, "high": 1.09})
    assert (rows[0]["met"], rows[0]["median_met"]) == (True, False)
    rows = targets.check_targets({"latency": {"ours-fp32": slow * 1.02, "floor-fp32": fast}}, S12)
    assert rows[0]["met"] is False


def test_sizes_are_exact_and_what_was_not_measured_is_not_judged():
    rows = targets.check_targets({"bytes": {"ours-int8": [1021], "floor-int8": [1000]}}, S12)
    by_text = {row["target"]: row for row in rows}
    size = by_text.pop("bytes: ours-int8 <= 1.02 x floor-int8")
    assert size["ratio"] == {"value": 1.021, "low": 1.021, "high": 1.021}
    assert size["met"] is False
    assert len(by_text) == len(targets.TARGETS[S12]) - 1
    assert all(row["met"] is None and row["ratio"] is None for row in by_text.values())


@pytest.mark.parametrize(
    ("variant", "bounds"),
    [("convformer_s18", [0.75, 0.45]), ("caformer_s18", [0.85, 0.45]), ("caformer_s36", [])],
)
def test_targets_belong_to_a_variant(variant, bounds):
    fast = {name: np.full(9, 0.8) for name in ("ours-fp32", "ours-dynamic_int8")}
    latency = fast | {"litert-torch-fp32": np.ones(9)}
    rows = targets.check_targets({"latency": latency}, variant)
    assert [row["met"] for row in rows] == [bound >= 0.8 for bound in bounds]
