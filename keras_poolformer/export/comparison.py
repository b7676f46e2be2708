"""What an export became: its size, its operators, and how far it is from the model."""

import dataclasses
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from keras_poolformer.data.folders import spread
from keras_poolformer.presets import ASSETS
from keras_poolformer.ranking import scores
from keras_poolformer.version import __version__

CHECKED_IMAGES = 8  # of each set
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
    """

    path: Path
    bytes: int
    recipe: str
    inputs: str
    outputs: str
    errors: dict[str, float]
    provenance: dict
    operators: dict[str, int] = dataclasses.field(default_factory=dict)
    partitions: int = 0
    calibration_images: int = 0
    skipped: tuple[str, ...] = ()

    @property
    def error(self):
        """The largest of `errors`."""
        return max(self.errors.values())

    def to_dict(self):
        """Returns the result, and the versions it was made with, as JSON-ready values."""
        return dataclasses.asdict(self) | {
            "path": str(self.path),
            "skipped": list(self.skipped),
            "error": self.error,
            "source_sha256": self.provenance.get("sha256"),
            "versions": versions(),
        }


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
        # One by one: another batch would round differently.
        results = [expect(image[None]) for image in normalized]
        received = run(pixels if input_kind == "pixels" else normalized)
        errors[name] = max(
            _distance(received[output], np.concatenate([result[output] for result in results]))
            for output in results[0]
        )
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
    return float(np.linalg.norm(received - expected) / np.linalg.norm(expected))


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
