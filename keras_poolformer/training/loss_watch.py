"""Whether a network learns, told from the losses of its training steps."""

import math

import numpy as np

MIN_STEPS = 40  # fewer say nothing
SHARE = 0.1  # of the steps seen so far, that are averaged at the beginning and at the end
LEARNT = 0.9  # of the loss of guessing: below it a network knows something


class LossWatch:
    """Warns once if the training loss does not fall.

    Args:
        num_classes: Number of classes, whose guessing has a loss of log(num_classes).
        warmup_steps: Steps of the warm-up; nothing is judged before twice as many.
        total_steps: Steps of the run; nothing is judged before a tenth of them.
    """

    def __init__(self, num_classes, warmup_steps, total_steps):
        self._guessing = math.log(max(num_classes, 2))
        self._least = max(MIN_STEPS, 2 * warmup_steps, total_steps // 10)
        self._losses: list[float] = []
        self._warned = False

    def add(self, losses):
        """Takes the losses of the next steps."""
        self._losses.extend(losses)

    def warning(self):
        """Returns one line if the loss has not fallen, the first time, else None.

        A network that began with a low loss, because it knew the classes, has nothing to learn.
        """
        count = len(self._losses)
        if self._warned or count < self._least:
            return None
        window = max(int(SHARE * count), MIN_STEPS // 4)
        start, end = self._losses[:window], self._losses[-window:]
        noise = math.sqrt((np.var(start) + np.var(end)) / window)
        fallen = np.mean(end) < np.mean(start) - max(2 * noise, 0.01 * np.mean(start))
        if np.mean(end) < LEARNT * self._guessing or (fallen and np.mean(end) < self._guessing):
            return None
        self._warned = True
        return (
            f"the training loss does not fall: {np.mean(start):.3f} over the first {window} steps, "
            f"{np.mean(end):.3f} over the last ones of {count}, where guessing has "
            f"{self._guessing:.3f}; another learning_rate (--set learning_rate=...) or the labels "
            "of the data may be the reason"
        )
