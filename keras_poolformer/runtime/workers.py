"""Threads with an interpreter each, safe across a fork.

A fork copies interpreters without the threads that they and their pool work with: a child that
used them would wait forever, and one that freed them would crash.
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

MAX_THREADS = 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


def check_threads(**counts: object) -> None:
    """Raises InputError unless every count, given by its name, is a valid number of threads."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_THREADS:
            raise InputError(
                f"`{name}` must be a whole number from 1 to {MAX_THREADS}. Received: {shown(count)}"
            )


class Workers:
    """Shares work among threads, each of which loads an interpreter of its own.

    Args:
        load: Function that returns a new interpreter.
        count: Number of threads; with 1 the calling thread does the work.
    """

    def __init__(self, load: Callable[[], Any], count: int) -> None:
        self.process: int = os.getpid()
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

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Returns `function` of each item, in order."""
        if self._pool is None:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def on_each(self, function: Callable[[], object]) -> None:
        """Calls a function once in every thread."""
        if self._pool is None:
            function()
            return
        # A barrier, since an idle thread would otherwise take a second call and some threads
        # would never start. Two barriers at once would wait for each other's threads.
        barrier = threading.Barrier(self._count)

        def meet_and_call(_: int) -> None:
            barrier.wait()
            function()

        with self._warming_up:
            try:
                list(self._pool.map(meet_and_call, range(self._count)))
            finally:
                barrier.abort()


_interpreters: weakref.WeakSet[Any] = weakref.WeakSet()
_held: list[Any] = []
_lock = threading.Lock()


def _kept_in_forks(interpreter: Any) -> Any:
    """Registers an interpreter, so that forked processes never free their copies of it."""
    with _lock:
        _interpreters.add(interpreter)
    return interpreter


def _before_fork() -> None:
    _lock.acquire()
    _held.extend(_interpreters)


def _after_fork_in_parent() -> None:
    _held.clear()
    _lock.release()


def _after_fork_in_child() -> None:
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
