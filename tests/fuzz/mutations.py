"""Hypothesis strategies that damage valid files: bytes, entries of archives, JSON values."""

import io
import json
import string
import zipfile

from hypothesis import strategies as st

_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48,
            2**63 - 1, 2**64 - 1]  # fmt: skip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TEXTS = ["", "\0", "\x1b[2J", "a\nb", "\u2028", "\ud800", "../../x", "a" * 300, "猫", "__proto__"]
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([*_NUMBERS, -1, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")]),
    st.sampled_from(_TEXTS),
    st.text(max_size=20),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(string.ascii_lowercase, max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def damaged_bytes(draw, seeds: list[bytes]) -> bytes:
    """One of the seeds after 1 to 4 edits of its bytes."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        _edit(draw, content, seeds)
    return bytes(content)


def _edit(draw, content, seeds):
    # Where a file is short of bytes at its start, its structure is there.
    end = draw(st.sampled_from([min(len(content), 64), min(len(content), 1024), len(content)]))
    place = draw(st.integers(0, end))
    length = draw(st.sampled_from([1, 2, 4, 8, 64, 1024]))
    match draw(st.sampled_from(["number", "bytes", "delete", "repeat", "cut", "splice"])):
        case "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            number = draw(st.sampled_from(_NUMBERS)) % 256**width
            order = draw(st.sampled_from(["little", "big"]))
            content[place : place + width] = number.to_bytes(width, order)
        case "bytes":
            content[place : place + length] = draw(st.binary(min_size=1, max_size=8))
        case "delete":
            del content[place : place + length]
        case "repeat":
            content[place:place] = content[place : place + length]
        case "cut":
            del content[place:]
        case "splice":
            other = draw(st.sampled_from(seeds))
            start = draw(st.integers(0, len(other)))
            content[place : place + length] = other[start : start + length]


@st.composite
def damaged_json(draw, seeds: list[bytes]) -> bytes:
    """One of the JSON documents with 1 to 4 of its values changed, or nested deeply."""
    document = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        document = _change(draw, document)
    depth = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 50, 900, 3000]))
    # Not json.dumps of the nested value, which would overflow Python's own stack.
    return b'{"a":' * depth + json.dumps(document).encode() + b"}" * depth


def _change(draw, value):
    """The value with one part of it replaced, removed or added."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 3)):
        value = value.copy()
        key = draw(st.sampled_from(sorted(value))) if isinstance(value, dict) else (
            draw(st.integers(0, len(value) - 1)))  # fmt: skip
        match draw(st.sampled_from(["inside", "inside", "inside", "remove", "add"])):
            case "inside":
                value[key] = _change(draw, value[key])
            case "remove":
                del value[key]
            case "add" if isinstance(value, dict):
                value[draw(st.sampled_from([*_TEXTS, "cls", "self"]))] = draw(_VALUES)
            case "add":
                value = value * draw(st.sampled_from([2, 100]))
        return value
    return draw(_VALUES)


@st.composite
def damaged_zip(draw, seeds: list[bytes], entries: dict[str, st.SearchStrategy]) -> bytes:
    """An archive with one entry damaged and packed again, so that checksums are right.

    Args:
        draw: Hypothesis' function that draws from a strategy.
        seeds: Valid archives.
        entries: Strategies for the contents of entries, by the ends of their names.
    """
    seed = draw(st.sampled_from(seeds))
    if not draw(st.integers(0, 3)):
        return draw(damaged_bytes([seed]))
    source, packed = zipfile.ZipFile(io.BytesIO(seed)), io.BytesIO()
    names = [name for name in source.namelist() if name.endswith(tuple(entries))]
    chosen = draw(st.sampled_from(names))
    method = draw(st.sampled_from(_METHODS))
    with zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            if name != chosen:
                target.writestr(name, source.read(name))
                continue
            damaged = next(entries[end] for end in entries if name.endswith(end))
            target.writestr(name, draw(damaged), method)
    return packed.getvalue()
