"""Damage to valid files: to bytes, entries of archives, JSON values; all of it drawn."""

import io
import json
import zipfile
from collections.abc import Callable
from random import Random

_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48,
            2**63 - 1, 2**64 - 1]  # fmt: skip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TEXTS = ["", "\0", "\x1b[2J", "a\nb", "\u2028", "\ud800", "../../x", "a" * 300, "猫", "__proto__"]
_KEYS = [*_TEXTS, "cls", "self"]
_SCALARS = [
    *_TEXTS, *_NUMBERS, -1, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"), None, True, False
]  # fmt: skip
_DEPTHS = (0, 0, 0, 0, 0, 0, 50, 900, 3000)

Damage = Callable[[Random], bytes]


def damaged_bytes(random: Random, seeds: list[bytes]) -> bytes:
    """Returns one of the seeds after 1 to 4 edits of its bytes."""
    content = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        _edit(random, content, seeds)
    return bytes(content)


def _edit(random, content, seeds):
    # The start of a file often is where its structure is.
    end = random.choice([min(len(content), 64), min(len(content), 1024), len(content)])
    place, length = random.randint(0, end), random.choice([1, 2, 4, 8, 64, 1024])
    match random.choice(["number", "bytes", "delete", "repeat", "cut", "splice"]):
        case "number":
            width = random.choice([1, 2, 4, 8])
            number = random.choice(_NUMBERS) % 256**width
            order = random.choice(["little", "big"])
            content[place : place + width] = number.to_bytes(width, order)
        case "bytes":
            content[place : place + length] = random.randbytes(random.randint(1, 8))
        case "delete":
            del content[place : place + length]
        case "repeat":
            content[place:place] = content[place : place + length]
        case "cut":
            del content[place:]
        case "splice":
            other = random.choice(seeds)
            start = random.randint(0, len(other))
            content[place : place + length] = other[start : start + length]


def damaged_json(random: Random, seeds: list[bytes]) -> bytes:
    """Returns a JSON document with 1 to 4 of its values changed, perhaps nested deeply."""
    document = json.loads(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        document = _changed(random, document)
    depth = random.choice(_DEPTHS)
    # Not json.dumps of the nested value, which would overflow Python's own stack.
    return b'{"a":' * depth + json.dumps(document).encode() + b"}" * depth


def _changed(random, value):
    """The value with one part of it replaced, removed or added."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.2:
        return _hostile_value(random)
    value = value.copy()
    is_dict = isinstance(value, dict)
    key = random.choice(sorted(value)) if is_dict else random.randrange(len(value))
    match random.choice(["inside", "inside", "inside", "remove", "add"]):
        case "inside":
            value[key] = _changed(random, value[key])
        case "remove":
            del value[key]
        case "add" if is_dict:
            value[random.choice(_KEYS)] = _hostile_value(random)
        case "add":
            value = value * random.choice([2, 100])
    return value


def _hostile_value(random, depth=0):
    match random.choice(["scalar", "scalar", "list", "dict"] if depth < 3 else ["scalar"]):
        case "list":
            return [_hostile_value(random, depth + 1) for _ in range(random.randint(0, 4))]
        case "dict":
            keys = [random.choice(_KEYS) for _ in range(random.randint(0, 3))]
            return {key: _hostile_value(random, depth + 1) for key in keys}
    return random.choice(_SCALARS)


def damaged_zip(random: Random, seeds: list[bytes], entries: dict[str, Damage]) -> bytes:
    """Returns an archive with one entry damaged and packed again, so that checksums are right.

    Args:
        random: Source of what is drawn.
        seeds: Valid archives.
        entries: Functions that draw the contents of entries, by the ends of their names.
    """
    seed = random.choice(seeds)
    if random.random() < 0.25:
        return damaged_bytes(random, [seed])
    source, packed = zipfile.ZipFile(io.BytesIO(seed)), io.BytesIO()
    names = [name for name in source.namelist() if name.endswith(tuple(entries))]
    chosen, method = random.choice(names), random.choice(_METHODS)
    with zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            if name != chosen:
                target.writestr(name, source.read(name))
                continue
            damage = next(entries[end] for end in entries if name.endswith(end))
            target.writestr(name, damage(random), method)
    return packed.getvalue()
