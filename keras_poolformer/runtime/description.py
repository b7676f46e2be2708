"""The description inside an exported model: labels, preprocessing, and where its weights are from.

TFLite's own convention for files that belong to a model is a zip archive behind the
flatbuffer; interpreters ignore it and Python's zipfile reads it. TensorFlow's convention for a
SavedModel is its folder assets.extra.
"""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_poolformer.config_fields import MAX_CLASSES
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.labels import Color, checked_labels, checked_palette
from keras_poolformer.provenance import Provenance
from keras_poolformer.scores import PROBLEM_TYPES
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import MAX_JSON_BYTES, parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import is_regular, open_regular, read_bytes
from keras_poolformer.support.zip_files import ZipEntries

LABELS = "labels.txt"
DESCRIPTION = "keras_poolformer.json"
EXTRA = "assets.extra"
SCORES = ("logits", "probabilities")  # the outputs of classifiers, and of segmenters per pixel
LABEL_MAP = "labels"  # the output of a segmenter that is a class for each pixel
SEGMENTATION = "segmentation"  # the task of a segmenter's file
_MAX_BYTES = {LABELS: 16 * 2**20, DESCRIPTION: MAX_JSON_BYTES}


@dataclass(frozen=True)
class Description:
    """How to feed an exported file and read what it returns.

    Args:
        recipe: Name of the recipe that the file was exported with.
        outputs: Kind of output: "logits", "probabilities", "labels", "embedding" or "pyramid".
        transform: Transform that prepares images.
        labels: Class names in order; () if unknown.
        provenance: Provenance of the weights.
        problem_type: What the outputs of a classifier mean, as in `MetaFormerConfig`; None in
            files that do not say.
        task: "segmentation" where the outputs are of each pixel; None for all other files.
        palette: Colors (red, green, blue) of a segmenter's classes, or None if they have none.
    """

    recipe: str
    outputs: str
    transform: ImageTransform
    labels: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    problem_type: str | None = None
    task: str | None = None
    palette: tuple[Color, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("recipe", "outputs"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InputError(f"`{name}` must be a string. Received: {shown(value)}")
        if self.problem_type not in (*PROBLEM_TYPES, None):
            raise InputError(
                f"problem_type must be one of {', '.join(PROBLEM_TYPES)} or null. "
                f"Received: {shown(self.problem_type)}"
            )
        if self.task not in (SEGMENTATION, None):
            raise InputError(f"task must be {SEGMENTATION} or null. Received: {shown(self.task)}")
        if self.palette is not None:
            object.__setattr__(self, "palette", checked_palette(self.palette))

    @property
    def is_segmenter(self) -> bool:
        """Whether the outputs are of each pixel."""
        return self.task == SEGMENTATION

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the labels, which have a file of their own, as JSON-ready values."""
        values = {
            "recipe": self.recipe,
            "outputs": self.outputs,
            "transform": self.transform.to_dict(),
            "provenance": self.provenance.to_json(),
            "problem_type": self.problem_type,
        }
        # Earlier releases read the files of classifiers, and reject fields that they do not know.
        return values | {"task": self.task, "palette": self.palette} if self.task else values


def append_description(path: str | os.PathLike[str], description: Description) -> None:
    """Appends a description to a .tflite file."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _texts(description).items():
            archive.writestr(name, text)


def add_description(folder: str | os.PathLike[str], description: Description) -> None:
    """Adds a description to a SavedModel folder."""
    extra = Path(folder) / EXTRA
    extra.mkdir()
    for name, text in _texts(description).items():
        (extra / name).write_text(text, encoding="utf-8", newline="\n")


def _texts(description: Description) -> dict[str, str]:
    """{file name: text} of a description."""
    texts = {DESCRIPTION: json.dumps(description.to_dict(), indent=2)}
    if description.labels:
        texts[LABELS] = "".join(f"{label}\n" for label in description.labels)
    return texts


def read_description(path: str | os.PathLike[str]) -> Description | None:
    """Returns the description of a .tflite file or a SavedModel folder; None if it has none.

    Raises:
        InputError: The description is corrupt, or larger than one can be.
    """
    files = _read_folder(Path(path) / EXTRA) if Path(path).is_dir() else _read_zip(path)
    if DESCRIPTION not in files:
        return None
    try:
        fields = parse_json(files[DESCRIPTION], DESCRIPTION)
        fields["provenance"] = Provenance.of(fields.get("provenance"), DESCRIPTION)
        labels = files.get(LABELS, b"")
        if labels.count(b"\n") > MAX_CLASSES:
            raise InputError(f"{LABELS} must have at most {MAX_CLASSES:,} lines")
        options: Any = fields.get("transform")
        fields["transform"] = ImageTransform.from_dict(options)
        return Description(**fields, labels=_lines(labels.decode()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its description is corrupt: {error}") from None


def _lines(text: str) -> tuple[str, ...]:
    """The labels. `str.splitlines` would also split at other characters, some in old labels."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return checked_labels(lines, name=LABELS) if text else ()


def _read_zip(path: str | os.PathLike[str]) -> dict[str, bytes]:
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):
            return {}
        entries = ZipEntries(file, f"{path}: its description")
        if DESCRIPTION not in entries:  # other programs put files of their own there
            return {}
        return {
            name: entries.read(name, most) for name, most in _MAX_BYTES.items() if name in entries
        }


def _read_folder(folder: Path) -> dict[str, bytes]:
    found = {name: most for name, most in _MAX_BYTES.items() if is_regular(folder / name)}
    return {name: read_bytes(folder / name, most) for name, most in found.items()}
