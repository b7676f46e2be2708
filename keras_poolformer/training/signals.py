"""What a preempted machine is told before it goes."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def sigterm_sets(event):
    """Within the block SIGTERM sets an event instead of ending the process.

    Args:
        event: a `threading.Event`.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows it there alone
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
