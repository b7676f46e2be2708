"""What an export became: its size, its operators, and how far it is from the model."""

import dataclasses
import hashlib
import math
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.data.folders import spread
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance
from keras_poolformer.scores import scores
from keras_poolformer.sources.presets import ASSETS
from keras_poolformer.support.version import __version__

CHECKED_IMAGES = 8  # of each set
# Relative error from which outputs are mostly wrong: half as long as the outputs themselves. A
# file that answers zeros has 1; good int8 files of trained networks have less than 0.1.
LARGE_ERROR = 0.5
LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert")


@dataclass(frozen=True)
class ExportResult:
    """An exported file, and how far it is from the model it came from.

    Args:
        path: of the file, or of the SavedModel's directory.
        bytes: its size.
        recipe: that it was made with.
        inputs: "normalized" or "pixels".
        outputs: as `export_tflite` takes it.
        errors: {set of images: relative L2 distance of the outputs from the Keras model's},
            over `CHECKED_IMAGES` of each set: "calibration" for int8, "photographs" (that the
            package ships) for models of RGB images, "noise" for the others.
        provenance: where the weights are from: source, sha256, layout, head, ...
        operators: {name: how many a .tflite file has}.
        partitions: into how many pieces XNNPACK takes the graph of a .tflite file here; 1 is
            best.
        calibration_images: how many were used; 0 where none are needed.
        skipped: calibration files that could not be read.
        sha256: of the file; of a SavedModel see `checksum`.
    """

    path: Path
    bytes: int
    recipe: str
    inputs: str
    outputs: str
    errors: dict[str, float]
    provenance: Provenance
    operators: dict[str, int] = dataclasses.field(default_factory=dict)
    partitions: int = 0
    calibration_images: int = 0
    skipped: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def error(self):
        """The largest of `errors`; not a number if one of them is not."""
        return float(np.max(list(self.errors.values())))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before this file is used: one line for each large error."""
        return tuple(
            f"the outputs are far from the model's on {name}: relative error {error:.2g}, where "
            f"zeros would have 1{self._advice(name)}"
            for name, error in self.errors.items()
            if not error < LARGE_ERROR
        )

    def _advice(self, name):
        if not self.calibration_images:
            return ""
        if name == "calibration":
            return ". Calibrate with more images, or use recipe dynamic_int8"
        return (
            ". Calibration images must be like those that the model will see; these are "
            "photographs of many kinds"
        )

    def to_dict(self):
        """Returns the result, and the versions it was made with, as JSON-ready values."""
        return dataclasses.asdict(self) | {
            "path": str(self.path),
            "provenance": self.provenance.to_json(),
            "skipped": list(self.skipped),
            "errors": {name: _json_number(error) for name, error in self.errors.items()},
            "error": _json_number(self.error),
            "warnings": list(self.warnings),
            "source_sha256": self.provenance.get("sha256"),
            "versions": versions(),
        }


def _json_number(value):
    """JSON has no word for what is not a number."""
    return value if math.isfinite(value) else None


def checksum(path: str | Path) -> str:
    """Returns the SHA-256 of a file, or of a directory as `sha256sum` lists its files.

    Of a directory it is what `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints
    in it.
    """
    path = Path(path)
    if path.is_dir():
        inside = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        names = sorted((f"./{name}" for name in inside), key=os.fsencode)
        listing = "".join(f"{checksum(path / name)}  {name}\n" for name in names)
        return hashlib.sha256(os.fsencode(listing)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export_provenance(model: Any, transform: ImageTransform) -> Provenance:
    """Where an export's weights are from, and how the images that it takes are prepared."""
    return model.provenance.replace(transform=transform)


def versions():
    """Returns {name: version} of this package and of the libraries that shape an export."""
    installed = {"keras-poolformer": __version__}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def compare(model, transform, run, input_kind, outputs, calibration=()):
    """Runs an export and its model on the same images.

    Args:
        model: the Keras model.
        transform: its `ImageTransform`.
        run: the export, a function from images to {name of the output: array}.
        input_kind: what it takes, "pixels" or "normalized".
        outputs: what it returns, as `export_tflite` takes it.
        calibration: uint8 images (N, size, size, 3) that it was calibrated with.

    Returns:
        {set of images: relative L2 distance, the largest of all outputs}, as in
        `ExportResult.errors`.
    """
    expect, errors = _reference(model, outputs), {}
    for name, pixels, normalized in _image_sets(model, transform, calibration):
        expected = expect(normalized)
        received = run(pixels if input_kind == "pixels" else normalized)
        errors[name] = max(_distance(received[output], expected[output]) for output in expected)
    return errors


def _reference(model, outputs):
    """A function from images to {name of the output: what the Keras model makes of them}."""
    if outputs == "pyramid":
        backbone = getattr(model, "backbone", model)
        return backbone.feature_extractor()
    if outputs == "embedding":
        return lambda images: {outputs: model.embed(images)}
    if outputs == "probabilities":
        problem_type = model.config.problem_type
        return lambda images: {outputs: scores(model(images, training=False), problem_type)}
    return lambda images: {outputs: model(images, training=False)}


def _distance(received, expected):
    length = np.linalg.norm(expected)
    if length == 0:  # of fresh weights
        return 0.0 if not np.any(received) else math.inf
    return float(np.linalg.norm(received - expected) / length)


def _image_sets(model, transform, calibration):
    """(name, uint8 pixels, the same normalised) of each set; noise has no pixels."""
    if model.config.in_channels != 3:
        shape = (CHECKED_IMAGES, *transform.output_shape, model.config.in_channels)
        yield "noise", None, np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        return
    if len(calibration):
        pixels = np.stack(spread(calibration, CHECKED_IMAGES))
        yield "calibration", pixels, transform.normalize(pixels)
    photographs = sorted((ASSETS / "photos").iterdir())
    pixels = transform.pixels(spread(photographs, CHECKED_IMAGES))
    yield "photographs", pixels, transform.normalize(pixels)
