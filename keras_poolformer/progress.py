"""Progress on stderr, so that stdout stays clean for results."""

import sys
import time


class Progress:
    """Says what is being done, and how far it is.

    On a terminal a step's line is rewritten as it advances; in a log each step is one line.

    Args:
        steps: names of the steps to come, in order.
        stream: where to write; by default stderr.
    """

    def __init__(self, steps, stream=None):
        self._steps, self._stream = list(steps), stream or sys.stderr
        self._current, self._last_write = -1, 0.0
        self._terminal = self._stream.isatty()

    def start(self):
        """Begins the next step."""
        if self._terminal and self._current >= 0:
            self._stream.write("\n")
        self._current += 1
        self._write("" if self._terminal else "\n")

    def advance(self, done, total):
        """Says that `done` of `total` of the current step is behind us."""
        if self._terminal and total and time.monotonic() - self._last_write > 0.1:
            self._last_write = time.monotonic()
            self._write(f" {done / total:4.0%}")

    def finish(self):
        """Ends the last step's line."""
        if self._terminal:
            self._stream.write("\n")

    def _write(self, ending):
        start = "\r\x1b[K" if self._terminal else ""  # to the line's start, and clear it
        count = f"[{self._current + 1}/{len(self._steps)}]"
        self._stream.write(f"{start}{count} {self._steps[self._current]}{ending}")
        self._stream.flush()
