"""Hides the logs and warnings of libraries from the terminal."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Generator
from typing import TextIO

from keras_poolformer.support.messages import one_line
from keras_poolformer.support.streams import lenient_stream, open_descriptors, writes_to

# Loggers that were created while the native log was hidden keep writing to these.
_kept_open: list[TextIO] = []


@contextlib.contextmanager
def native_log_hidden() -> Generator[None, None, None]:
    """Hides what C++ code writes to stderr; what Python writes still appears.

    TensorFlow, XLA and LiteRT bypass Python's logging, and not all of their logs can be switched
    off. If the block ends in an unexpected error, the hidden text is shown after all.
    """
    open_descriptors()
    python_stderr = sys.stderr
    with contextlib.suppress(AttributeError, OSError, ValueError):  # None, or cannot be written
        python_stderr.flush()
    terminal = os.dup(2)
    if writes_to(python_stderr, 2):
        sys.stderr = lenient_stream(os.dup(2))
        _kept_open.append(sys.stderr)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            sys.stderr = python_stderr


@contextlib.contextmanager
def brief_warnings(program: str) -> Generator[None, None, None]:
    """Shows Python's warnings in one line each, and hides those of Pillow.

    Pillow warns of large images and of corrupt metadata; `images.files` has its own limit of
    pixels, and an image that cannot be read is an error.

    Args:
        program: Name at the start of each line.
    """

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"{program}: warning: {one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def logger_limited(name: str, level: int) -> Generator[None, None, None]:
    """Hides a logger's messages below a level.

    Args:
        name: Name of the logger.
        level: Lowest level that is shown, such as `logging.WARNING`.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
