"""Detects from the training losses that a network does not learn."""

import math
from collections.abc import Iterable

import numpy as np

MIN_STEPS = 40  # steps before the first verdict
SHARE = 0.1  # fraction of the steps so far that is averaged at the beginning and at the end
LEARNED = 0.9  # fraction of the loss of guessing below which a network has learned something


class LossWatch:
    """Warns once if the training loss does not fall.

    Args:
        num_classes: Number of classes; guessing has a loss of log(num_classes).
        warmup_steps: Number of steps of the warm-up; there is no warning before twice as many.
        total_steps: Number of steps of the run; there is no warning before a tenth of them.
    """

    def __init__(self, num_classes: int, warmup_steps: int, total_steps: int) -> None:
        self._guessing = math.log(max(num_classes, 2))
        self._least = max(MIN_STEPS, 2 * warmup_steps, total_steps // 10)
        self._losses: list[float] = []
        self._warned = False

    def add(self, losses: Iterable[float]) -> None:
        """Adds the losses of the next steps."""
        self._losses.extend(losses)

    def warning(self) -> str | None:
        """Returns one line, once, if the loss has not fallen, else None.

        A network that started with a low loss, because it knew the classes, need not learn more.
        """
        count = len(self._losses)
        if self._warned or count < self._least:
            return None
        window = max(int(SHARE * count), MIN_STEPS // 4)
        start, end = self._losses[:window], self._losses[-window:]
        noise = math.sqrt((np.var(start) + np.var(end)) / window)
        fallen = np.mean(end) < np.mean(start) - max(2 * noise, 0.01 * np.mean(start))
        if np.mean(end) < LEARNED * self._guessing or (fallen and np.mean(end) < self._guessing):
            return None
        self._warned = True
        return (
            f"the training loss does not fall: {np.mean(start):.3f} over the first {window} steps, "
            f"{np.mean(end):.3f} over the last of {count}; guessing has {self._guessing:.3f}. Try "
            "another learning_rate (--set learning_rate=...), and check the labels of the data"
        )
