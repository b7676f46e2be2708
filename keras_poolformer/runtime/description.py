"""What an exported model says of itself: labels and preprocessing.

TFLite's own convention for files that belong to a model is a zip archive behind the
flatbuffer; interpreters ignore it and Python's zipfile reads it. TensorFlow's convention for a
SavedModel is its folder assets.extra.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from keras_poolformer.config import MAX_CLASSES
from keras_poolformer.labels import checked_labels
from keras_poolformer.provenance import Provenance
from keras_poolformer.scores import PROBLEM_TYPES
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import MAX_JSON_BYTES, parse_json
from keras_poolformer.support.messages import shown
from keras_poolformer.support.regular_files import is_regular, open_regular, read_bytes
from keras_poolformer.support.zip_files import ZipEntries

LABELS, DESCRIPTION = "labels.txt", "keras_poolformer.json"
EXTRA = "assets.extra"
_MAX_BYTES = {LABELS: 16 * 2**20, DESCRIPTION: MAX_JSON_BYTES}
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
    provenance: Provenance = field(default_factory=Provenance)
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
    document = asdict(description) | {"provenance": description.provenance.to_json()}
    labels = document.pop("labels")
    texts = {DESCRIPTION: json.dumps(document, indent=2)}
    if labels:
        texts[LABELS] = "".join(f"{label}\n" for label in labels)
    return texts


def read_description(path):
    """Reads the description of a .tflite file or a SavedModel directory; None if it has none.

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
        return _checked(Description(**fields, labels=_lines(labels.decode())))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its description is corrupt: {error}") from None


def _checked(description):
    """The description, if its fields have the types that they should have."""
    types = {"recipe": str, "outputs": str, "transform": dict}
    for name, kind in types.items():
        value = getattr(description, name)
        if not isinstance(value, kind):
            raise InputError(f"`{name}` must be a {kind.__name__}. Received: {shown(value)}")
    return description


def _lines(text):
    """The labels. `str.splitlines` would also split at other characters, some in old labels."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return checked_labels(lines, name=LABELS) if text else ()


def _read_zip(path):
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):
            return {}
        entries = ZipEntries(file, f"{path}: its description")
        if DESCRIPTION not in entries:  # other programs put files of their own there
            return {}
        return {
            name: entries.read(name, most) for name, most in _MAX_BYTES.items() if name in entries
        }


def _read_folder(folder):
    found = {name: most for name, most in _MAX_BYTES.items() if is_regular(folder / name)}
    return {name: read_bytes(folder / name, most) for name, most in found.items()}
