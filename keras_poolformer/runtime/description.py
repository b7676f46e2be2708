"""What an exported model says of itself: labels and preprocessing.

TFLite's own convention for files that belong to a model is a zip archive behind the
flatbuffer; interpreters ignore it and Python's zipfile reads it. TensorFlow's convention for a
SavedModel is its folder assets.extra.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from keras_poolformer.errors import InputError
from keras_poolformer.labels import checked_labels
from keras_poolformer.messages import shown
from keras_poolformer.ranking import PROBLEM_TYPES

LABELS, DESCRIPTION = "labels.txt", "keras_poolformer.json"
EXTRA = "assets.extra"
SCORES = ("logits", "probabilities")  # the outputs of classifiers


@dataclass(frozen=True)
class Description:
    """How to feed an exported file and read what it answers.

    Args:
        recipe: that the file was exported with.
        outputs: "logits", "probabilities", "embedding" or "pyramid".
        transform: arguments of `ImageTransform`.
        labels: class names in order; () if unknown.
        provenance: of the weights.
        problem_type: What the outputs of a classifier mean, as in `PoolFormerConfig`; None in
            files that do not say.
    """

    recipe: str
    outputs: str
    transform: dict
    labels: tuple[str, ...] = ()
    provenance: dict = field(default_factory=dict)
    problem_type: str | None = None

    def __post_init__(self):
        if self.problem_type not in (*PROBLEM_TYPES, None):
            raise InputError(
                f"problem_type must be one of {', '.join(PROBLEM_TYPES)} or null. "
                f"Received: {shown(self.problem_type)}"
            )


def append_description(path, description):
    """Appends a description to a .tflite file."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _texts(description).items():
            archive.writestr(name, text)


def add_description(folder, description):
    """Puts a description into a SavedModel directory."""
    extra = Path(folder) / EXTRA
    extra.mkdir()
    for name, text in _texts(description).items():
        (extra / name).write_text(text, encoding="utf-8", newline="\n")


def _texts(description):
    """{file name: text} of a description."""
    document = asdict(description)
    labels = document.pop("labels")
    texts = {DESCRIPTION: json.dumps(document, indent=2)}
    if labels:
        texts[LABELS] = "".join(f"{label}\n" for label in labels)
    return texts


def read_description(path):
    """Reads the description of a .tflite file or a SavedModel directory; None if it has none.

    Raises:
        InputError: the description is damaged.
    """
    try:
        files = _read_folder(Path(path) / EXTRA) if Path(path).is_dir() else _read_zip(path)
        if DESCRIPTION not in files:
            return None
        document = json.loads(files[DESCRIPTION])
        return Description(**document, labels=_lines(files.get(LABELS, b"").decode()))
    except (zipfile.BadZipFile, ValueError, TypeError) as error:
        raise InputError(f"{path}: its description is damaged: {error}") from None


def _lines(text):
    """The labels. `str.splitlines` would also split at other characters, some in old labels."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return checked_labels(lines, name=LABELS) if text else ()


def _read_zip(path):
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        names = {LABELS, DESCRIPTION}.intersection(archive.namelist())
        return {name: archive.read(name) for name in names}


def _read_folder(folder):
    paths = [folder / name for name in (LABELS, DESCRIPTION)]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}
