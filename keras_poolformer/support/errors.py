"""The errors that users meet: one line that names what was wrong and what would be right."""

import contextlib
import importlib.util

from keras_poolformer.support.messages import one_line

FRAMEWORK = {"keras": "keras", "tensorflow": "tensorflow"}  # packages: extras that bring them


class InputError(ValueError):
    """A file, image, option or configuration from outside cannot be used.

    The message is one line: what was wrong, what was received, what would be right. The
    command line prints it and exits with status 2. Whatever a file or a server put into it, it
    is printable and of bounded length.

    Args:
        message: Text of the error, or what it is made from.
    """

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class ImageError(InputError):
    """One image cannot be read; the others of a folder or batch may be usable."""


class OutputError(InputError, OSError):
    """An output cannot be written: the disk is full, a folder is read-only, a name is too long.

    Args:
        message: Text of the error, or what it is made from.
    """


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it.

    Args:
        package: that is missing.
        extra: of this package that brings it.
        reason: what the message begins with, where the package's name alone does not tell.
    """

    def __init__(self, package, extra, reason=""):
        super().__init__(
            f"{reason}{package} is not installed: "
            f"`pip install 'keras-poolformer[{extra}]'` brings it",
            name=package,
        )


def require_packages(extras):
    """Raises a MissingExtraError that names the extras of all packages that are not installed.

    Args:
        extras: {package: extra of this package that brings it}.
    """
    missing = [name for name in extras if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(missing[0], ",".join(dict.fromkeys(extras[n] for n in missing)))


@contextlib.contextmanager
def missing_extra_named():
    """Turns a failing import of Keras or TensorFlow into a MissingExtraError.

    It names the extras of both, where neither is there: whoever has only the runtime would
    otherwise be told to install one, and then the other.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in FRAMEWORK:
            require_packages(FRAMEWORK)
        raise
