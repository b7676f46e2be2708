"""Standard streams that accept any text and survive readers that close them."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, TextIO, cast

from keras_poolformer.support.errors import OutputError
from keras_poolformer.support.messages import printable


class ResultStream(io.TextIOBase):
    """Writes results to another stream as printable text; a failed write is an error.

    Control characters and characters that the stream's encoding lacks are written as Python's
    escapes. A pipe that its reader closed is not an error.

    Args:
        stream: Stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failure: OutputError | None = None

    # io.TextIOBase has a read-only property, which its stub declares as a variable.
    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Name of the stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Returns True."""
        return True

    def isatty(self) -> bool:
        """Returns whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Returns the descriptor of the stream."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Writes text; returns its number of characters."""
        lines = "\n".join(map(_printable_line, text.split("\n")))
        encoded = lines.encode(self.encoding, "backslashreplace")
        with self._checked():
            self._stream.write(encoded.decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered; raises the error of a write again, which argparse catches."""
        with self._checked():
            self._stream.flush()
        failure, self._failure = self._failure, None
        if failure:
            raise failure

    @contextlib.contextmanager
    def _checked(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            _silence(self._stream)  # what is still buffered would fail again at the end
            # EINVAL is what Windows says of a closed pipe.
            if error.errno not in (errno.EPIPE, errno.EINVAL):
                reason = f"standard output cannot be written: {error.strerror}"
                self._failure = OutputError(reason)


def _printable_line(line: str) -> str:
    return "\t".join(map(printable, line.split("\t")))


class _ProgressFile(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def lenient_stream(descriptor: int) -> TextIO:
    """Opens a text stream that writes what it can to a descriptor, and drops the rest.

    Args:
        descriptor: Open file descriptor, which stays open when the stream is closed.
    """
    raw = _ProgressFile(descriptor, "w", closefd=False)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True
    )


@contextlib.contextmanager
def usable_streams() -> Generator[None, None, None]:
    """Within the block standard output and standard error can be written to.

    Results go through a `ResultStream`. Progress and messages that cannot be written are
    dropped: nobody reads them. Streams that are closed, or missing as in a program without a
    console, are replaced by the null device.
    """
    open_descriptors()
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                null = Path(os.devnull)
                nowhere = stack.enter_context(null.open("w", encoding="utf-8", newline="\n"))
                stack.enter_context(_replaced(name, nowhere))
        if writes_to(sys.stderr, 2):
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            stack.enter_context(_replaced("stderr", lenient_stream(2)))
        if not isinstance(sys.stdout, ResultStream):
            stack.enter_context(_replaced("stdout", cast(TextIO, ResultStream(sys.stdout))))
        yield


@contextlib.contextmanager
def _replaced(name: str, stream: TextIO) -> Generator[None, None, None]:
    before = getattr(sys, name)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            stream.flush()
        setattr(sys, name, before)


def writes_to(stream: TextIO, descriptor: int) -> bool:
    """Whether a Python stream writes to a descriptor of the process."""
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):  # a buffer that replaced it
        return False


def open_descriptors() -> None:
    """Opens the null device as each standard descriptor that is closed.

    Otherwise the next file to be opened would get its number, and messages would be written into
    that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)


def _silence(stream: TextIO) -> None:
    """Redirects a stream of the process to the null device."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
