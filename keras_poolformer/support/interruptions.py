"""Ctrl-C and SIGTERM as exceptions, so that cleanups run, and as a state that nothing swallows."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, `kill` and service managers, a closed terminal
_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise `Interrupted`.

    Signals that the process was started to ignore stay ignored, as under nohup.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield
        return
    process = os.getpid()

    def stop(number, frame):
        if os.getpid() != process:  # a forked child dies as it would without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _received.append(number)
        raise Interrupted(number)

    before = {}
    try:
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _received.clear()


def received() -> Interrupted | None:
    """Returns the first interruption within the block, also if a library swallowed it."""
    return Interrupted(_received[0]) if _received else None


def raise_if_interrupted() -> None:
    """Raises `Interrupted` again, if a library swallowed it as an error of a callback."""
    interruption = received()
    if interruption is not None:
        raise interruption
