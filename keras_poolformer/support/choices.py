"""Checks of names from outside against the names that are allowed."""

from collections.abc import Collection, Iterable, Mapping

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Requires a value to be one of several.

    Args:
        name: Name of the argument, for the error.
        value: Value that was received.
        choices: Values that are allowed.

    Raises:
        InputError: The value is another one.
    """
    if value not in tuple(choices):  # compares, so that an unhashable value is rejected too
        raise InputError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. Received: {shown(value)}"
        )


def reject_unknown(
    subject: str,
    names: Iterable[object],
    allowed: Collection[str],
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Rejects names of fields or options that do not exist.

    Args:
        subject: Start of the message, as in "MetaFormerConfig has no field".
        names: Names that were received.
        allowed: Names that exist.
        aliases: Other libraries' names, and the allowed ones that they stand for; or None.

    Raises:
        InputError: One does not exist; the message suggests the closest that does, and lists all
            unless it is another library's name.
    """
    for name in names:
        if name not in allowed:
            text = shown(name)[1:-1] if isinstance(name, str) else shown(name)
            known = "" if name in (aliases or ()) else f" Known: {', '.join(allowed)}"
            raise InputError(f"{subject} `{text}`.{did_you_mean(name, allowed, aliases)}{known}")
