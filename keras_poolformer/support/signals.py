"""Stops on SIGTERM, which announces that a machine is taken back, and on Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def interruptible(progress: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Makes work that reports its progress end at the first SIGTERM or Ctrl-C.

    Args:
        progress: Function that the work calls as it advances.

    Yields:
        The function to call instead, which raises KeyboardInterrupt after a signal.
    """
    with stop_requested() as event:

        def advance(*arguments: object) -> None:
            if event.is_set():
                raise KeyboardInterrupt
            progress(*arguments)

        yield advance


@contextlib.contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Within the block the first SIGTERM or Ctrl-C sets an event; a second one stops at once.

    The block looks at the event where it can stop with nothing lost. Without this, Python raises
    KeyboardInterrupt wherever it happens to be, and TensorFlow drops it if that is a callback.
    Signals that the process was started to ignore stay ignored, as under nohup.

    Yields:
        The `threading.Event`.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield event
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            # None: set by other than Python code, which signal.signal cannot bring back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def stop(*_: object) -> None:
        event.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield event
    finally:
        restore()
