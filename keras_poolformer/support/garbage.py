"""Python's garbage collector, where it finds nothing."""

import atexit
import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def collection_paused() -> Generator[None, None, None]:
    """Pauses the collector of reference cycles, unless it is off already.

    Importing TensorFlow and building a network make over 400,000 objects that all stay. The
    collector would visit them again and again, which takes a tenth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def skip_collection_at_exit() -> None:
    """Lets the process end without a last search for reference cycles.

    It would visit every object of TensorFlow once more, for 0.8 s, to free memory that the end of
    the process frees anyway.
    """
    atexit.register(gc.freeze)
