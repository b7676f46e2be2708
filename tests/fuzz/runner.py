"""Runs a target on damaged files until one breaks a limit."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.limits import read_within_limits
from tests.fuzz.targets import TARGETS, place


def run_target(name: str, cases: int, number: int = 0, folder: Path | None = None) -> Counter:
    """Reads damaged files; Hypothesis shrinks and reports the first that breaks a limit.

    Args:
        name: One of `TARGETS`.
        cases: Number of damaged files.
        number: Seed of the damage.
        folder: Folder that holds the file being read, so that it is there after a crash.

    Returns:
        How many files were "read" and how many "refused".
    """
    target, outcomes = TARGETS[name], Counter()
    with tempfile.TemporaryDirectory(prefix=f"fuzz_{name}_") as temporary:
        case = (folder or Path(temporary)) / name

        @seed(number)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs())
        def read(content):
            path = place(target, content, case)
            outcomes[read_within_limits(target.read, path, len(content))] += 1

        read()
    return outcomes
