"""The training step next to PyTorch's: the table, and the steps of both made short."""

import pytest

from benchmarks import train_peers
from keras_poolformer.support.errors import InputError


def results(ours):
    times = {side: [10.0] * 6 for side in train_peers.SIDES}
    times[train_peers.OURS] = [ours] * 6
    machine = {"cpu": "x", "cores": 2, "packages": {"torch": "2"}}
    return {"machine": machine, "rounds": 6, "steps": 2, "times": times}


@pytest.mark.parametrize(("ours", "verdict"), [(9.5, "met."), (9.6, "not met.")])
def test_target(ours, verdict):
    table = train_peers.table(results(ours))
    assert f"| {train_peers.OURS} | {ours:.1f} | {ours / 10:.3f} |" in table
    assert table.endswith(f"x {train_peers.PEER}: {verdict}\n")


def test_too_few_rounds():
    with pytest.raises(InputError, match="`rounds` must be at least 6"):
        train_peers.measure([train_peers.OURS], rounds=5, steps=1)


@pytest.mark.slow
def test_steps():
    """Both sides take steps in processes of their own."""
    sides = [train_peers.OURS, train_peers.PEER]
    record = train_peers.measure(sides, rounds=6, steps=1)
    assert set(record["times"]) == set(sides)
    assert all(value > 0 for values in record["times"].values() for value in values)
