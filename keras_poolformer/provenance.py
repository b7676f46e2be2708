"""Where weights come from, as files say it: plain values of known types and bounded size."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import printable, shown

MAX_TEXT = 4096  # characters
MAX_NUMBER = 2**64
MAX_VALUES = 50_000  # in a whole provenance; 512 blocks have 5,000 tensors
# What a report about loaded weights (checkpoints.transplant.LoadReport) is never without.
_REPORT = ("source", "sha256", "layout", "head", "dtype", "parameters", "new_tensors")


def checked_provenance(value: object, name: str) -> dict[str, Any]:
    """Returns a provenance that a file holds, fit to be printed and written to other files.

    Fields that this version does not know are kept. Control characters are escaped.

    Args:
        value: Parsed JSON: an object, or None where nothing is known.
        name: What the error calls the file.

    Raises:
        InputError: A field has the wrong type or is too long, or a field is missing that
            another one needs.
    """
    if value is None:
        return {}
    fields = _Reader(name).fields(value)
    if "tensors" in fields:
        _require(fields, _REPORT, "tensors", name)
    if "step" in fields:
        _require(fields, ("source",), "step", name)
    return fields


def _require(fields, needed, by, name):
    missing = [field for field in needed if fields.get(field) is None]
    if missing:
        raise InputError(
            f"{name}: its provenance has `{by}` and must have `{missing[0]}` too. "
            f"Received: {', '.join(fields)}"
        )


class _Reader:
    """Checks the values of one provenance, and counts them."""

    def __init__(self, name):
        self._name, self._count = name, 0
        self._known: Mapping[str, Callable] = {
            **dict.fromkeys(("source", "layout", "head", "wrapper", "dtype"), self._text),
            **dict.fromkeys(("keras_poolformer", "base_model"), self._text),
            **dict.fromkeys(("tensors", "parameters", "step"), self._whole),
            **dict.fromkeys(("new_tensors", "unused_tensors", "adapted_tensors"), self._texts),
            "sha256": self._sha256,
            "transform": self._object,
            "hf_unused": self._hf_unused,
            "init": self._init,
        }

    def fields(self, value):
        if not isinstance(value, dict):
            raise self._refused("provenance", "an object", value)
        return {
            self._text("name of a field", field): (
                self._known.get(field, self._any)(field, entry) if entry is not None else None
            )
            for field, entry in value.items()
        }

    def _init(self, field, value):
        """What training began from: a name, or the provenance of those weights."""
        return self._text(field, value) if isinstance(value, str) else self.fields(value)

    def _text(self, field, value):
        self._counted(field)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._refused(field, f"a text of at most {MAX_TEXT:,} characters", value)
        return printable(value)

    def _texts(self, field, value):
        if not isinstance(value, list):
            raise self._refused(field, "a list of names", value)
        return [self._text(field, entry) for entry in value]

    def _sha256(self, field, value):
        if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise self._refused(field, "64 hexadecimal digits", value)
        return value

    def _whole(self, field, value):
        if type(value) is not int or not 0 <= value <= MAX_NUMBER:
            raise self._refused(field, "a whole number", value)
        return value

    def _object(self, field, value):
        if not isinstance(value, dict):
            raise self._refused(field, "an object", value)
        return self._any(field, value)

    def _hf_unused(self, field, value):
        """Whole numbers, or lists of them (checkpoints.hub_json.hf_unused)."""
        numbers = self._object(field, value).values()
        flat = [n for entry in numbers for n in (entry if isinstance(entry, list) else [entry])]
        if not all(type(number) is int for number in flat):
            raise self._refused(field, "an object of whole numbers", value)
        return value

    def _any(self, field, value):
        """Any JSON value; `json_files` bounds its depth."""
        if isinstance(value, str):
            return self._text(field, value)
        if isinstance(value, dict):
            return {self._text(field, key): self._any(field, v) for key, v in value.items()}
        if isinstance(value, list):
            return [self._any(field, entry) for entry in value]
        self._counted(field)
        if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise self._refused(field, "a finite number", value)
        return value

    def _counted(self, field):
        self._count += 1
        if self._count > MAX_VALUES:
            raise InputError(
                f"{self._name}: its provenance must have at most {MAX_VALUES:,} values, and has "
                f"more in `{shown(field)}`"
            )

    def _refused(self, field, rule, value):
        return InputError(
            f"{self._name}: `{shown(field).strip(chr(39))}` of its provenance must be {rule}. "
            f"Received: {shown(value)}"
        )
