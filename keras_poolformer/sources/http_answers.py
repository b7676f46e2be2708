"""Checks of a web server's answer, which is untrusted: whether it is a file, or the rest of one."""

import re
from collections.abc import Mapping
from typing import Any

from keras_poolformer.support.messages import one_line, shown

MAX_BYTES = 16 * 2**30  # of a file; the largest preset has 0.3 GB
_COUNT = r"[0-9]{1,18}"
_CONTENT_RANGE = rf"bytes ({_COUNT})-{_COUNT}/({_COUNT})"
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses


class FailedError(Exception):
    """A download attempt failed; the message says why."""


class TemporaryError(FailedError):
    """A download attempt failed transiently: it is worth retrying."""


def is_rest(response: Any, note: Mapping[str, Any], size: int) -> bool:
    """Whether a partial answer is the rest of a file, whatever was requested.

    Args:
        response: Answer of `requests.get`.
        note: Known facts about the file: "validator" and "total" bytes.
        size: Number of bytes that were downloaded before.
    """
    place = re.fullmatch(_CONTENT_RANGE, response.headers.get("Content-Range", ""))
    same = validator_of(response) in (None, note.get("validator"))
    return bool(place and same and (int(place[1]), int(place[2])) == (size, note.get("total")))


def check_answer(response: Any) -> None:
    """Raises a FailedError if an answer does not hold the file itself."""
    status = response.status_code
    reason = one_line(f"HTTP {status} {response.reason or ''}", 300)
    if status not in (200, 206):
        raise TemporaryError(reason) if status in _TEMPORARY else FailedError(reason)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise FailedError("the answer is a web page, as of a network that requires a login")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # it may unpack to a thousand times its size
        raise FailedError(f"the answer is encoded as {shown(encoding)}, which was not requested")


def check_size(size: int | None) -> None:
    """Raises a FailedError if a file has more bytes than any checkpoint."""
    if size is not None and size > MAX_BYTES:
        raise FailedError(f"the file has more than {MAX_BYTES:,} bytes, more than any checkpoint")


def validator_of(response: Any) -> str | None:
    """Returns what distinguishes a file from a later one at the same address, or None."""
    tag = response.headers.get("ETag", "W/")  # a weak tag promises less than the same bytes
    text = response.headers.get("Last-Modified") if tag.startswith("W/") else tag
    return text if text and is_header(text) else None


def length_of(response: Any) -> int | None:
    """Returns the number of bytes of an answer, or None if the server does not state it.

    Raises:
        FailedError: The length is not a number, or too large.
    """
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not re.fullmatch(_COUNT, text):  # without it, a file that was cut off would look complete
        raise FailedError(f"the answer has the invalid length {shown(text)}")
    check_size(int(text))
    return int(text)


def is_note(note: Mapping[str, Any]) -> bool:
    """Whether the note beside a part is one that `downloads` could have written."""
    total = note.get("total")
    validator = note.get("validator")
    return (
        isinstance(note.get("url"), str)
        and (total is None or (type(total) is int and 0 <= total <= MAX_BYTES))
        and (validator is None or (isinstance(validator, str) and is_header(validator)))
    )


def is_header(text: str) -> bool:
    """Whether a server's text can be sent back to it."""
    return bool(re.fullmatch(r"[!-~]([ -~]{0,500}[!-~])?", text))
