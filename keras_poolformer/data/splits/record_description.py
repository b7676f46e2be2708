"""`dataset.json`, which describes a folder of records; it may be from anybody."""

import dataclasses
import json
import os
import re
from collections import Counter
from dataclasses import dataclass

from keras_poolformer.labels import checked_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.output_folders import OutputFolder

DESCRIPTION = "dataset.json"
FORMAT, VERSION = "keras-poolformer records", 1
SPLITS = ("train", "validation")
RECORDS = OutputFolder(
    "a folder of records that prepare wrote",
    (DESCRIPTION, *(f"{split}-?????-of-?????.tfrecord" for split in SPLITS)),
    markers=(DESCRIPTION,),
)
MAX_BYTES = 2**26
_FILE_NAME = re.compile(r"\w[\w.-]*\.tfrecord", re.ASCII)
_LARGEST = 2**50
_RECORD_BYTES = 16  # of an empty one: length and checksums


@dataclass(frozen=True)
class RecordFile:
    """A file of a split.

    Args:
        name: of the file, beside `dataset.json`.
        examples: in it.
        bytes: its size.
    """

    name: str
    examples: int
    bytes: int


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says.

    Args:
        class_names: tuple of str, in the order of the labels.
        splits: {"train": (RecordFile, ...)} and perhaps "validation".
    """

    class_names: tuple[str, ...]
    splits: dict[str, tuple[RecordFile, ...]]

    def to_json(self):
        """Returns the text of `dataset.json`."""
        fields = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        return json.dumps(fields, indent=1) + "\n"


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether data are named by an address, as in gs://bucket/imagenet."""
    return "://" in str(path)


def description_path(path: str | os.PathLike[str]) -> str:
    """Returns the path of the description of the records in `path`, a folder or an address."""
    return f"{str(path).rstrip('/')}/{DESCRIPTION}"


def parse_description(text, path):
    """Reads what `Description.to_json` returned, and trusts nothing in it.

    Args:
        text: JSON.
        path: where it lies, for errors.

    Returns:
        A `Description`.

    Raises:
        InputError: it is none, or not of this version.
    """
    fields = parse_json(text.encode(), str(path))
    if fields.get("format") != FORMAT:
        raise InputError(f"{path} must describe {FORMAT}, as `keras-poolformer prepare` does")
    _check(fields.get("version") == VERSION, path, "version", f"{VERSION}", fields.get("version"))
    names = checked_class_names(fields.get("class_names"), f"{path}: class_names")
    splits = fields.get("splits", ())
    known = isinstance(splits, dict) and "train" in splits and set(splits) <= set(SPLITS)
    _check(known, path, "splits", "train and perhaps validation", splits)
    files = {name: tuple(_file(one, path) for one in _files(splits, name, path)) for name in splits}
    listed = [one.name for part in files.values() for one in part]
    _check(len(set(listed)) == len(listed), path, "splits", "files listed once", sorted(listed))
    return Description(names, files)


def checked_class_names(names, subject):
    """Returns the class names of a data set, one rule for all that enter and leave.

    Args:
        names: What should be a list or tuple of names.
        subject: What errors call them.

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


def _files(splits, name, path):
    _check(_is_list(splits[name]), path, name, "a list of files", splits[name])
    return splits[name]


def _file(fields, path):
    expected = (
        "a name without folders, and its examples and bytes, from 1, and at least "
        f"{_RECORD_BYTES} bytes an example"
    )
    whole = isinstance(fields, dict) and fields.keys() == {"name", "examples", "bytes"}
    good = whole and isinstance(fields["name"], str) and _FILE_NAME.fullmatch(fields["name"])
    counts = [fields["examples"], fields["bytes"]] if good else [0]
    good = all(type(count) is int and 0 < count <= _LARGEST for count in counts)
    good = good and fields["bytes"] >= _RECORD_BYTES * fields["examples"]
    _check(good, path, "file", expected, fields)
    return RecordFile(**fields)


def _is_utf8(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value):
    return isinstance(value, list) and len(value) > 0


def _check(good, path, name, expected, value):
    if not good:
        raise InputError(f"{path}: {name} must be {expected}. Received: {shown(value, 100)}")
