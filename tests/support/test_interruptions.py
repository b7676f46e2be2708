"""Signals that ask a process to stop."""

import contextlib
import io
import os
import signal

import pytest

from keras_poolformer.support.interruptions import Interrupted, interruptible, stop_requested
from keras_poolformer.support.progress import Progress
from tests.helpers import posix

pytestmark = posix


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_stops(number):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), stop_requested() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_was_ignored_stays_ignored():
    """As under nohup, or of a program that a script started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requested() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_interruptible_restores_the_handlers():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    with pytest.raises(Interrupted) as caught, interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
    assert caught.value.number == signal.SIGHUP
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == before


def test_progress_raises_again_what_a_library_swallowed():
    with pytest.raises(Interrupted) as caught, interruptible():
        progress = Progress(["reading"], io.StringIO())
        progress.start()
        progress.advance(1, 3)
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        progress.advance(2, 3)
    assert caught.value.number == signal.SIGTERM
