"""What reading a file may cost and how it may fail, whatever is in the file."""

import contextlib
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_poolformer.support.errors import InputError

SECONDS = 5
EXTRA_BYTES = 200 * 2**20


def read_within_limits(read: Callable[[Path], object], path: Path, size: int) -> str:
    """Reads a file of unknown origin; raises AssertionError where it costs too much.

    Args:
        read: Function that reads the file, and raises nothing but InputError.
        path: File or folder to read.
        size: Bytes of the input.

    Returns:
        "read" or "refused".
    """
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="utf-8", newline="\n"
    )  # VmHWM starts again from here
    try:
        with _alarm():
            read(path)
        outcome = "read"
    except InputError as error:
        assert str(error).isprintable(), f"not one printable line: {str(error)[:200]!r}"
        outcome = "refused"
    used = _memory("VmHWM") - before
    assert used <= 2 * size + EXTRA_BYTES, f"{used / 2**20:.0f} MB for {size:,} bytes"
    return outcome


def _memory(field):
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1])


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def too_long(signum, frame):
        raise AssertionError(f"still reading after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
