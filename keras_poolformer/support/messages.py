"""The words of errors: values and texts from outside, made fit for one line of a terminal."""

import difflib
import itertools
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

MAX_MESSAGE = 2000  # characters of one error
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line separators


def is_text(text: str) -> bool:
    """Whether a terminal and a line of a file can hold a text as it is."""
    return text.isprintable() or not any(unicodedata.category(c) in _CONTROLS for c in text)


def printable(text: str) -> str:
    """Escapes control characters, line separators and lone surrogates, as Python writes them."""
    return text if is_text(text) else _escaped(text, is_text)


def _escaped(text, is_kept):
    return "".join(c if is_kept(c) else c.encode("unicode_escape").decode() for c in text)


def one_line(message: object, limit: int = MAX_MESSAGE) -> str:
    """The text of an error or another object as one printable line of bounded length.

    Invisible characters, which may change the direction of what follows, are escaped too.
    """
    text = str(message)
    text = text if len(text) <= 2 * limit else text[: 2 * limit]
    text = _escaped(" ".join(text.split()), str.isprintable)
    if not text:
        return type(message).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def json_text(document: object) -> str:
    """A document as JSON, in texts that every reader takes.

    Names of files that are not UTF-8 reach Python with lone surrogates, which are no Unicode and
    are escaped.
    """
    return json.dumps(_whole(document), indent=2)


def _whole(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(entry) for entry in value]
    return value


def shown(value: object, limit: int = 80) -> str:
    """A refused value as Python writes it, in one printable line of bounded length."""
    try:
        return one_line(repr(value[:limit] if isinstance(value, str | bytes) else value), limit)
    except ValueError:  # a whole number of more digits than Python writes out
        return f"a {type(value).__name__} too long to print"
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to print"


def listed(names: Sequence[object], most: int = 5) -> str:
    """The first of several names as one printable text, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return one_line(", ".join(str(name) for name in names[:most])) + more


def did_you_mean(
    name: object, known: Iterable[str], aliases: Mapping[str, str] | None = None
) -> str:
    """Returns " Did you mean ...?" with the closest of the known names, or "".

    Args:
        name: What was received.
        known: Names that would be right.
        aliases: Other libraries' names, and the known ones that they stand for.
    """
    close = [(aliases or {}).get(str(name)[:100], "")]
    if not close[0]:
        close = _closest(str(name)[:100], known)
    return f" Did you mean {close[0]!r}?" if close else ""


def _closest(name, known):
    """The most similar names, the one that begins alike first: s12 for s13, rather than s36."""

    def similarity(other):
        ratio = difflib.SequenceMatcher(None, name, other).ratio()
        alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False))
        return ratio, len(list(alike))

    return sorted(difflib.get_close_matches(name, list(known), n=9), key=similarity, reverse=True)
