"""Checks of a provenance in a file of unknown origin: known types, bounded sizes, printable texts.

Nothing else reads these fields before they were checked here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import printable, shown

MAX_TEXT = 4096  # characters
MAX_NUMBER = 2**64
MAX_VALUES = 50_000  # in a whole provenance; 512 blocks have 5,000 tensors
_WHOLE_NUMBERS = ("format", "tensors", "parameters", "seed", "step", "batch_count")
# What a provenance with the number of loaded tensors is never without.
_REPORT = ("source", "sha256", "layout", "head", "dtype", "parameters", "new_tensors")


def checked_fields(value: object, name: str) -> dict[str, Any]:
    """Returns the fields of a provenance, fit to be printed and written to other files.

    Fields that this version does not know are kept. Control characters are escaped.

    Args:
        value: Parsed JSON: an object, or None where nothing is known.
        name: What errors call the file.

    Raises:
        InputError: A field has the wrong type or is too long, or a field is missing that
            another one needs.
    """
    if value is None:
        return {}
    fields = _Reader(name).fields(value)
    if fields.get("tensors") is not None:
        _require(fields, _REPORT, "tensors", name)
    if fields.get("step") is not None:
        _require(fields, ("source",), "step", name)
    return fields


def _require(fields: Mapping[str, Any], needed: Sequence[str], by: str, name: str) -> None:
    missing = [field for field in needed if fields.get(field) is None]
    if missing:
        raise InputError(
            f"{name}: its provenance has `{by}` and must have `{missing[0]}` too. "
            f"Received: {', '.join(fields)}"
        )


class _Reader:
    """Checks the values of one provenance, and counts them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        names = ("new_tensors", "adapted_tensors", "unused_tensors", "ignored_tensors")
        self._checks: Mapping[str, Callable[[str, Any], Any]] = {
            **dict.fromkeys(("source", "layout", "head", "wrapper", "prefix", "dtype"), self._text),
            **dict.fromkeys(("keras_poolformer", "base_model"), self._text),
            **dict.fromkeys(_WHOLE_NUMBERS, self._whole),
            **dict.fromkeys(names, self._texts),
            **dict.fromkeys(("transform", "assumed"), self._object),
            "sha256": self._sha256,
            "trained": self._flag,
            "hf_unused": self._hf_unused,
            "init": self._init,
        }

    def fields(self, value: object) -> dict[str, Any]:
        """Returns the fields of an object."""
        if not isinstance(value, Mapping):
            raise self._rejection("provenance", "an object", value)
        return {
            self._text("name of a field", field): (
                self._checks.get(field, self._any)(field, entry) if entry is not None else None
            )
            for field, entry in value.items()
        }

    def _init(self, field: str, value: object) -> str | dict[str, Any]:
        """What training started from: a name, or the provenance of those weights."""
        return self._text(field, value) if isinstance(value, str) else self.fields(value)

    def _text(self, field: str, value: object) -> str:
        self._counted(field)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._rejection(field, f"a text of at most {MAX_TEXT:,} characters", value)
        return printable(value)

    def _texts(self, field: str, value: object) -> list[str]:
        if not isinstance(value, list | tuple):
            raise self._rejection(field, "a list of names", value)
        return [self._text(field, entry) for entry in value]

    def _sha256(self, field: str, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise self._rejection(field, "64 hexadecimal digits", value)
        return value

    def _whole(self, field: str, value: object) -> int:
        if type(value) is not int or not 0 <= value <= MAX_NUMBER:
            raise self._rejection(field, "a whole number", value)
        return value

    def _flag(self, field: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._rejection(field, "true or false", value)
        return value

    def _object(self, field: str, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self._rejection(field, "an object", value)
        return self._any(field, value)

    def _hf_unused(self, field: str, value: object) -> dict[str, Any]:
        """Whole numbers, or lists of them (checkpoints.hub_json.hf_unused)."""
        numbers = self._object(field, value)
        flat = [
            number
            for entry in numbers.values()
            for number in (entry if isinstance(entry, list) else [entry])
        ]
        if not all(type(number) is int for number in flat):
            raise self._rejection(field, "an object of whole numbers", value)
        return numbers

    def _any(self, field: str, value: Any) -> Any:
        """Any JSON value; `json_files` bounds its depth."""
        if isinstance(value, str):
            return self._text(field, value)
        if isinstance(value, Mapping):
            return {self._text(field, key): self._any(field, v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._any(field, entry) for entry in value]
        self._counted(field)
        if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise self._rejection(field, "a finite number", value)
        return value

    def _counted(self, field: str) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise InputError(
                f"{self._name}: its provenance must have at most {MAX_VALUES:,} values, and has "
                f"more in `{shown(field)}`"
            )

    def _rejection(self, field: str, rule: str, value: object) -> InputError:
        return InputError(
            f"{self._name}: `{shown(field).strip(chr(39))}` of its provenance must be {rule}. "
            f"Received: {shown(value)}"
        )
