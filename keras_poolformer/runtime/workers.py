"""Threads with an interpreter each, and what becomes of them in a forked process.

A fork copies interpreters without the threads that they and their pool work with: a child that
used them would wait for ever, and one that freed them would crash.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

MAX_THREADS = 1024


def check_threads(**counts: object) -> None:
    """Raises InputError unless numbers of threads or workers, by their names, are usable."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_THREADS:
            raise InputError(
                f"`{name}` must be a whole number from 1 to {MAX_THREADS}. Received: {shown(count)}"
            )


class Workers:
    """Loads an interpreter for each thread that runs something, and shares work among threads.

    Args:
        load: Function that returns a new interpreter.
        count: Number of threads; with 1 the caller's own thread does the work.
    """

    def __init__(self, load: Callable[[], Any], count: int) -> None:
        self.process = os.getpid()
        self._load = load
        self._count = count
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(count) if count > 1 else None
        self._warming_up = threading.Lock()

    def interpreter(self) -> Any:
        """Returns the calling thread's interpreter: LiteRT's must not be shared."""
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = _kept_in_forks(self._load())
        return self._local.interpreter

    def map(self, function: Callable, items: Iterable) -> list:
        """Returns `function` of each item, in order."""
        return list((self._pool.map if self._pool else map)(function, items))

    def on_each(self, function: Callable[[], Any]) -> None:
        """Calls a function once in every thread."""
        if self._pool is None:
            function()
            return
        # No thread continues before all have arrived: one that had finished would serve again
        # in place of another that had not started. Two such meetings at once would each wait
        # for threads that the other holds.
        meeting = threading.Barrier(self._count)

        def meet_and_call(_):
            meeting.wait()
            function()

        with self._warming_up:
            try:
                list(self._pool.map(meet_and_call, range(self._count)))
            finally:
                meeting.abort()


_interpreters: weakref.WeakSet = weakref.WeakSet()
_held: list = []
_lock = threading.Lock()


def _kept_in_forks(interpreter):
    """Registers an interpreter, so that forked processes never free their copies of it."""
    with _lock:
        _interpreters.add(interpreter)
    return interpreter


def _before_fork():
    _lock.acquire()
    _held.extend(_interpreters)


def _after_fork_in_parent():
    _held.clear()
    _lock.release()


def _after_fork_in_child():
    for interpreter in _held:  # even when the process ends
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(interpreter))
    _interpreters.clear()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
