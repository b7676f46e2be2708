"""A few damaged files for every reader; `make fuzz` reads many more."""

import pytest

from tests.fuzz.runner import run_target
from tests.fuzz.targets import TARGETS


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("name", list(TARGETS))
def test_damaged_files_are_refused_in_one_line_and_cheaply(name, rounds):
    cases = rounds * TARGETS[name].share
    outcomes = run_target(name, cases)
    assert 0 < outcomes.total() <= cases
