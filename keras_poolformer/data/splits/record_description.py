"""`dataset.json`, which describes a folder of records; nothing in it is trusted."""

import dataclasses
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from keras_poolformer.data.splits.resized import Resized
from keras_poolformer.labels import checked_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.output_folders import OutputFolder

DESCRIPTION = "dataset.json"
FORMAT = "keras-poolformer records"
VERSION = 1
VERSION_OF_MASKS = 2  # which releases that do not know masks reject
SPLITS = ("train", "validation")
RECORDS = OutputFolder(
    "a folder of records that prepare wrote",
    (DESCRIPTION, *(f"{split}-?????-of-?????.tfrecord" for split in SPLITS)),
    markers=(DESCRIPTION,),
)
MAX_BYTES = 2**26  # of dataset.json
_FILE_NAME = re.compile(r"\w[\w.-]*\.tfrecord", re.ASCII)
_LARGEST = 2**50  # examples or bytes of a file
_RECORD_BYTES = 16  # of an empty record: its length and checksums


@dataclass(frozen=True)
class RecordFile:
    """A file of a split.

    Args:
        name: Name of the file, in the folder of `dataset.json`.
        examples: Number of examples in it.
        bytes: Size of the file.
    """

    name: str
    examples: int
    bytes: int


@dataclass(frozen=True)
class Masks:
    """How the masks of a data set are read.

    Args:
        reduce_zero_label: Whether 0 stands for no class, and classes count from 1.
    """

    reduce_zero_label: bool


@dataclass(frozen=True)
class Description:
    """The content of `dataset.json`.

    Args:
        class_names: Class names in the order of the labels.
        splits: {"train": (RecordFile, ...)} and perhaps "validation".
        masks: How masks are read; None where images have a class each.
        resized: How images were made smaller; None where the files were kept.
    """

    class_names: tuple[str, ...]
    splits: dict[str, tuple[RecordFile, ...]]
    masks: Masks | None = None
    resized: Resized | None = None

    def to_json(self) -> str:
        """Returns the text of `dataset.json`."""
        fields = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        if self.masks:
            fields["version"] = VERSION_OF_MASKS
        else:
            del fields["masks"]
        if not self.resized:
            del fields["resized"]
        return json.dumps(fields, indent=1) + "\n"


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether data are named by an address, as in gs://bucket/imagenet."""
    return "://" in str(path)


def description_path(path: str | os.PathLike[str]) -> str:
    """Returns the path of the description of the records in `path`, a folder or an address."""
    return f"{str(path).rstrip('/')}/{DESCRIPTION}"


def parse_description(text: str, path: str | os.PathLike[str]) -> Description:
    """Parses and checks `dataset.json`.

    Args:
        text: Content of the file.
        path: Path of the file, for errors.

    Raises:
        InputError: It is not a valid description of this version.
    """
    fields = parse_json(text.encode(), str(path))
    if fields.get("format") != FORMAT:
        raise InputError(f"{path} must describe {FORMAT}, as `keras-poolformer prepare` does")
    masks = _masks(fields, path)
    names = checked_class_names(fields.get("class_names"), f"{path}: class_names")
    splits = fields.get("splits", ())
    is_valid = isinstance(splits, dict) and "train" in splits and set(splits) <= set(SPLITS)
    _check(is_valid, path, "splits", "train and perhaps validation", splits)
    files = {
        name: tuple(_file(entry, path) for entry in _files(splits, name, path)) for name in splits
    }
    listed = [file.name for part in files.values() for file in part]
    _check(len(set(listed)) == len(listed), path, "splits", "files listed once", sorted(listed))
    return Description(names, files, masks, _resized(fields, path))


def checked_class_names(names: Any, subject: str) -> tuple[str, ...]:
    """Returns the class names of a data set, by one rule for all data that are read or written.

    Args:
        names: List or tuple of names, if it is valid.
        subject: Name for them in errors.

    Raises:
        InputError: There are none, two are the same, or one is not a valid class name.
    """
    for name in names if isinstance(names, list | tuple) else ():
        if isinstance(name, str) and not _is_utf8(name):  # a folder's name can be any bytes
            raise InputError(f"{subject} must be UTF-8. Received: {shown(name)}")
    names = checked_labels(names, name=subject)
    if not names or len(set(names)) < len(names):
        ((name, count),) = Counter(names).most_common(1) or [("", 0)]
        received = f"{shown(name)} {count} times" if names else "none"
        raise InputError(f"{subject} must be different names. Received: {received}")
    return names


def _masks(fields: dict[str, Any], path: object) -> Masks | None:
    """Checks the version, which says whether masks are described, and returns what they are."""
    masks = fields.get("masks")
    version = VERSION if masks is None else VERSION_OF_MASKS
    _check(fields.get("version") == version, path, "version", f"{version}", fields.get("version"))
    if masks is None:
        return None
    is_valid = isinstance(masks, dict) and masks.keys() == {"reduce_zero_label"}
    is_valid = is_valid and isinstance(masks["reduce_zero_label"], bool)
    _check(is_valid, path, "masks", '{"reduce_zero_label": true or false}', masks)
    return Masks(**masks)


def _resized(fields: dict[str, Any], path: object) -> Resized | None:
    resized = fields.get("resized")
    if resized is None:
        return None
    names = {field.name for field in dataclasses.fields(Resized)}
    is_valid = isinstance(resized, dict) and resized.keys() == names
    _check(is_valid, path, "resized", f"an object with {', '.join(sorted(names))}", resized)
    try:
        return Resized(**resized)
    except InputError as error:
        raise InputError(f"{path}: resized: {error}") from None


def _files(splits: dict[str, Any], name: str, path: object) -> list[Any]:
    _check(_is_list(splits[name]), path, name, "a list of files", splits[name])
    return splits[name]


def _file(fields: Any, path: object) -> RecordFile:
    expected = (
        "a name without folders, and its examples and bytes, from 1, and at least "
        f"{_RECORD_BYTES} bytes an example"
    )
    _check(_is_file(fields), path, "file", expected, fields)
    return RecordFile(**fields)


def _is_file(fields: Any) -> bool:
    if not isinstance(fields, dict) or fields.keys() != {"name", "examples", "bytes"}:
        return False
    if not isinstance(fields["name"], str) or not _FILE_NAME.fullmatch(fields["name"]):
        return False
    counts = (fields["examples"], fields["bytes"])
    if not all(type(count) is int and 0 < count <= _LARGEST for count in counts):
        return False
    return fields["bytes"] >= _RECORD_BYTES * fields["examples"]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0


def _check(is_valid: bool, path: object, name: str, expected: str, value: object) -> None:
    if not is_valid:
        raise InputError(f"{path}: {name} must be {expected}. Received: {shown(value, 100)}")
