"""Errors for users: one line that says what was wrong, what was received and what is right."""

import contextlib
import importlib.util
from collections.abc import Generator, Mapping

from keras_poolformer.support.messages import one_line

FRAMEWORK = {"keras": "keras", "tensorflow": "tensorflow"}  # {package: extra that installs it}


class InputError(ValueError):
    """A file, image, option or configuration from outside cannot be used.

    The message is one line: what was wrong, what was received, what would be right. The
    command line prints it and exits with status 2. Whatever a file or a server put into it, it
    is printable and of bounded length.

    Args:
        message: Text of the error, or an object with that text.
    """

    # Keras would put all arguments of a layer's call into the message, but not of its own errors.
    _keras_call_info_injected = True

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class ImageError(InputError):
    """An image cannot be read; others of the same folder or batch may be usable."""


class OutputError(InputError, OSError):
    """An output cannot be written: the disk is full, a folder is read-only, a name is too long.

    Args:
        message: Text of the error, or an object with that text.
    """


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra that installs it.

    Args:
        package: Name of the missing package.
        extra: Extra of keras-poolformer that installs it.
        reason: Start of the message, where the package's name does not say why it is needed.
    """

    def __init__(self, package: str | None, extra: str, reason: str = "") -> None:
        super().__init__(
            f"{reason}{package} is not installed: "
            f"`pip install 'keras-poolformer[{extra}]'` installs it",
            name=package,
        )


def require_packages(extras: Mapping[str, str]) -> None:
    """Raises a MissingExtraError that names the extras of all packages that are not installed.

    Args:
        extras: {package: extra of keras-poolformer that installs it}.

    Raises:
        MissingExtraError: A package is missing.
    """
    missing = [name for name in extras if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(missing[0], ",".join(dict.fromkeys(extras[n] for n in missing)))


@contextlib.contextmanager
def missing_extra_named() -> Generator[None, None, None]:
    """Turns a failing import of Keras or TensorFlow into a MissingExtraError.

    Where both are missing, it names the extras of both: a user of the runtime would otherwise
    install one and then meet the next error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in FRAMEWORK:
            require_packages(FRAMEWORK)
        raise
