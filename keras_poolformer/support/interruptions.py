"""Signals that ask the process to stop: as an exception, or as a flag for work that saves first.

Both forms leave signals alone that the process was started to ignore, as under nohup, and do
nothing outside the main thread, where Python does not allow handlers.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence

# Ctrl-C; `kill` and service managers; on Windows Ctrl-Break, which is how another process asks.
_STOPPING = ("SIGINT", "SIGTERM", "SIGBREAK")
_CLOSED_TERMINAL = "SIGHUP"
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
def interruptible() -> Generator[None, None, None]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise `Interrupted`, so that cleanups run.

    On Windows, which has no SIGHUP, Ctrl-Break does too.
    """
    process = os.getpid()

    def stop(number: int, _: object) -> None:
        if os.getpid() != process:  # a forked child dies as it would without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _received.append(number)
        raise Interrupted(number)

    try:
        with _handled(_existing(*_STOPPING, _CLOSED_TERMINAL), stop):
            yield
    finally:
        if _in_main_thread():
            _received.clear()


def received() -> Interrupted | None:
    """Returns the first interruption within the block, also if a library swallowed it."""
    return Interrupted(_received[0]) if _received else None


def raise_if_interrupted() -> None:
    """Raises `Interrupted` again, if a library swallowed it as an error of a callback."""
    interruption = received()
    if interruption is not None:
        raise interruption


@contextlib.contextmanager
def stop_requested() -> Generator[threading.Event, None, None]:
    """Within the block the first SIGTERM or Ctrl-C sets an event; a second one stops at once.

    The block checks the event where it can stop without losing work, as when a cloud machine is
    about to be preempted.

    Yields:
        The event.
    """
    event = threading.Event()
    with contextlib.ExitStack() as handlers:

        def stop(*_: object) -> None:
            event.set()
            handlers.close()

        handlers.enter_context(_handled(_existing(*_STOPPING), stop))
        yield event


def _existing(*names: str) -> list[int]:
    """The signals of these names that the system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextlib.contextmanager
def _handled(
    signals: Sequence[int], handler: Callable[[int, object], None]
) -> Generator[None, None, None]:
    """Within the block a handler gets signals; afterwards the previous handlers do."""
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signals}
    before = {number: old for number, old in before.items() if old != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            # None: set by other than Python code, which signal.signal cannot bring back.
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
