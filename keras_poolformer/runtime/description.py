"""What an exported .tflite file says of itself: labels and preprocessing.

TFLite's own convention for files that belong to a model is a zip archive behind the
flatbuffer; interpreters ignore it and Python's zipfile reads it.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field

from keras_poolformer.errors import InputError

LABELS, DESCRIPTION = "labels.txt", "keras_poolformer.json"


@dataclass(frozen=True)
class Description:
    """How to feed an exported file and read what it answers.

    Args:
        recipe: that the file was exported with.
        outputs: "logits" or "probabilities".
        transform: arguments of `ImageTransform`.
        labels: class names in order; () if unknown.
        provenance: of the weights.
    """

    recipe: str
    outputs: str
    transform: dict
    labels: tuple[str, ...] = ()
    provenance: dict = field(default_factory=dict)


def append_description(path, description):
    """Appends a description to a .tflite file."""
    document = asdict(description)
    labels = document.pop("labels")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(DESCRIPTION, json.dumps(document, indent=2))
        if labels:
            archive.writestr(LABELS, "".join(f"{label}\n" for label in labels))


def read_description(path):
    """Reads the description of a .tflite file; None if it has none.

    Raises:
        InputError: the description is damaged.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if DESCRIPTION not in names:
                return None
            document = json.loads(archive.read(DESCRIPTION))
            labels = archive.read(LABELS).decode().splitlines() if LABELS in names else []
        return Description(**document, labels=tuple(labels))
    except (zipfile.BadZipFile, ValueError, TypeError) as error:
        raise InputError(f"{path}: its description is damaged: {error}") from None
