"""Runs a target on damaged files until one breaks a limit."""

import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from keras_poolformer.support.errors import InputError
from tests.fuzz.limits import read_within_limits
from tests.fuzz.targets import TARGETS, place


def run_target(name: str, cases: int, number: int = 0, folder: Path | None = None) -> Counter:
    """Reads damaged files; the first that breaks a limit stays in the folder.

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
        with contextlib.suppress(InputError):  # imports, and what libraries keep from then on
            target.read(place(target, target.damage(Random(number)), case))

        @seed(number)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # drawn from a seed: nothing smaller would fail alike
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=True))
        def read(random):
            content = target.damage(random)
            path = place(target, content, case)
            outcomes[read_within_limits(target.read, path, len(content))] += 1

        read()
    return outcomes
