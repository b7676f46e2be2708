"""Progress on stderr, so that stdout stays clean for results."""

import contextlib
import sys
import time
from collections.abc import Iterable
from typing import TextIO

from keras_poolformer.support.interruptions import raise_if_interrupted
from keras_poolformer.support.messages import one_line, printable


class Progress:
    """Reports the current step and its progress.

    On a terminal a step's line is rewritten as it advances, without colors or other sequences that
    a terminal must understand; in a log or a pipe each step is one line. A stream that cannot be
    written to does not stop the work.

    Args:
        steps: Names of the steps, in order.
        stream: Text stream to write to. By default stderr; if there is none, nothing is written.
        shown: Whether anything is written.
    """

    def __init__(
        self, steps: Iterable[str], stream: TextIO | None = None, shown: bool = True
    ) -> None:
        self._steps = [printable(step) for step in steps]
        self._stream = (stream or sys.stderr) if shown else None
        self._current = -1
        self._last_write = 0.0  # seconds
        self._terminal = self._stream is not None and self._stream.isatty()

    def start(self) -> None:
        """Starts the next step."""
        self.finish()
        self._current += 1
        self._write_step("" if self._terminal else "\n")

    def advance(self, done: int, total: int) -> None:
        """Reports that `done` of `total` of the current step is complete.

        Raises:
            Interrupted: A signal asked the process to stop, and a library swallowed it.
        """
        raise_if_interrupted()
        if self._terminal and total and time.monotonic() - self._last_write > 0.1:
            self._last_write = time.monotonic()
            self._write_step(f" {done / total:4.0%}")

    def finish(self) -> None:
        """Ends the last step's line."""
        if self._terminal and self._current >= 0:
            self._write("\n")

    def _write_step(self, ending: str) -> None:
        start = "\r" if self._terminal else ""  # a step's line never gets shorter
        count = f"[{self._current + 1}/{len(self._steps)}]"
        self._write(f"{start}{count} {self._steps[self._current]}{ending}")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        # ValueError: the stream was closed, or lacks a character.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def print_note(line: str) -> None:
    """Prints a note on stderr, on a line of its own below the progress line."""
    start = "\n" if sys.stderr.isatty() else ""
    print(f"{start}{one_line(line)}", file=sys.stderr)
