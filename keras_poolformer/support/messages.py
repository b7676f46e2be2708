"""Formats values and texts from outside for one line of a terminal."""

import difflib
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keras_poolformer.support.untyped import is_dict, is_list

MAX_MESSAGE = 2000  # characters of one error
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line separators


def is_text(text: str) -> bool:
    """Whether a text can be written to a terminal and to a line of a file unescaped."""
    return text.isprintable() or not any(unicodedata.category(c) in _CONTROLS for c in text)


def printable(text: str) -> str:
    """Escapes control characters, line separators and lone surrogates, as Python writes them."""
    return text if is_text(text) else _escaped(text, is_text)


def _escaped(text: str, is_kept: Callable[[str], bool]) -> str:
    return "".join(c if is_kept(c) else c.encode("unicode_escape").decode() for c in text)


def one_line(message: object, limit: int = MAX_MESSAGE) -> str:
    """Returns the text of an object, as of an error, as one printable line of bounded length.

    Invisible characters, which may change the direction of what follows, are escaped too.
    """
    text = str(message)
    text = text if len(text) <= 2 * limit else text[: 2 * limit]
    text = _escaped(" ".join(text.split()), str.isprintable)
    if not text:
        return type(message).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def json_text(document: object) -> str:
    """Returns a document as JSON that every reader accepts.

    Names of files that are not UTF-8 reach Python with lone surrogates, which are not valid
    Unicode and are escaped.
    """
    return json.dumps(_valid_unicode(document), indent=2)


def _valid_unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if is_dict(value):
        return {_valid_unicode(key): _valid_unicode(entry) for key, entry in value.items()}
    if is_list(value):
        return [_valid_unicode(entry) for entry in value]
    return value


def shown(value: object, limit: int = 80) -> str:
    """Returns a rejected value as Python writes it, as one printable line of bounded length."""
    try:
        return one_line(repr(value[:limit] if isinstance(value, str | bytes) else value), limit)
    except ValueError:  # a whole number of more digits than Python writes out
        return f"a {type(value).__name__} too long to print"
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to print"


def listed(names: Sequence[object], most: int = 5) -> str:
    """Returns the first of several names as one printable text, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return one_line(", ".join(str(name) for name in names[:most])) + more


def did_you_mean(
    name: object, allowed: Iterable[str], aliases: Mapping[str, str] | None = None
) -> str:
    """Returns " Did you mean ...?" with the closest of the allowed names, or "".

    Args:
        name: Name that was received.
        allowed: Names that would be right.
        aliases: Other libraries' names, and the allowed ones that they stand for.
    """
    text = str(name)[:100]
    alias = (aliases or {}).get(text)
    close = [alias] if alias else _closest(text, allowed)
    return f" Did you mean {close[0]!r}?" if close else ""


def _closest(name: str, allowed: Iterable[str]) -> list[str]:
    """The most similar names, those with the longest common start first: s12 for s13, not s36."""

    def similarity(other: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, name, other).ratio()
        alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False))
        return ratio, len(list(alike))

    close = difflib.get_close_matches(name, list(allowed), n=9)
    return sorted(close, key=similarity, reverse=True)
