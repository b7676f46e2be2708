"""The result of an export: its size, its operators, and how far it is from the model."""

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from keras_poolformer.data.folders import spread
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import label_map
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.provenance import Provenance
from keras_poolformer.runtime.description import LABEL_MAP
from keras_poolformer.scores import scores
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.version import __version__

CHECKED_IMAGES = 8  # of each set
# Relative error from which outputs are mostly wrong: half as long as the outputs themselves. A
# file that returns zeros has 1; good int8 files of trained networks have less than 0.1.
LARGE_ERROR = 0.5
LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert")

# A function from a batch of images to {name of the output: array}.
Run: TypeAlias = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class ExportResult:
    """An exported file, and how far it is from the model it was made of.

    Args:
        path: File, or folder of the SavedModel.
        bytes: Size of the file.
        recipe: Name of the recipe that it was made with.
        inputs: Kind of input: "normalized", "pixels", or "any" for a SavedModel.
        outputs: Kind of output, as `export_tflite` takes it.
        errors: Relative L2 distance of the outputs from the Keras model's, or of labels the share
            of pixels with another one, for each set of `CHECKED_IMAGES` images: "calibration" for
            recipes that need it, "photographs" (those that the package ships) for models of RGB
            images, "noise" for the others.
        provenance: Provenance of the weights: source, sha256, layout, head, ...
        operators: Number of operators of a .tflite file by name.
        partitions: Number of partitions into which XNNPACK takes the graph of a .tflite file here;
            1 is best.
        calibration_images: Number of calibration images; 0 where none are needed.
        skipped: Names of calibration files that could not be read.
        sha256: Checksum of the file; for a SavedModel see `checksum`.
        task: "segmentation" for a segmenter's outputs of each pixel, else None.
    """

    path: Path
    bytes: int
    recipe: str
    inputs: str
    outputs: str
    errors: Mapping[str, float]
    provenance: Provenance
    operators: Mapping[str, int] = dataclasses.field(default_factory=dict)
    partitions: int = 0
    calibration_images: int = 0
    skipped: tuple[str, ...] = ()
    sha256: str = ""
    task: str | None = None

    @property
    def error(self) -> float:
        """The largest of `errors`; NaN if one of them is."""
        return float(np.max(list(self.errors.values())))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before the file is used: one line for each large error."""
        return tuple(
            f"the outputs are far from the model's on {name}: {self._measure(error)}"
            f"{self._advice(name)}"
            for name, error in self.errors.items()
            if not error < LARGE_ERROR
        )

    def _measure(self, error: float) -> str:
        if self.outputs == LABEL_MAP:
            return f"{error:.0%} of the pixels have another label"
        return f"relative error {error:.2g}; all zeros would have 1"

    def _advice(self, name: str) -> str:
        if not self.calibration_images:
            return ""
        if name == "calibration":
            return ". Calibrate with more images, or use recipe dynamic_int8"
        return (
            ". Calibration images must be like those that the model will see; these are "
            "photographs of many kinds"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the result, and the versions of the libraries, as JSON-ready values."""
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


def _json_number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def checksum(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file, or of a folder as `sha256sum` lists its files.

    For a folder it is what `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints
    in it.
    """
    path = Path(path)
    if path.is_dir():
        inside = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        names = sorted((f"./{name}" for name in inside), key=os.fsencode)
        listing = "".join(f"{checksum(path / name)}  {name}\n" for name in names)
        return hashlib.sha256(os.fsencode(listing)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export_provenance(model: MetaFormerModel, transform: ImageTransform) -> Provenance:
    """Returns where an export's weights are from and how its images are prepared."""
    return model.provenance.replace(transform=transform)


def versions() -> dict[str, str]:
    """Returns {name: version} of this package and of the libraries that shape an export."""
    installed = {"keras-poolformer": __version__}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def compare(
    model: MetaFormerModel,
    transform: ImageTransform,
    run: Run,
    from_pixels: Callable[[np.ndarray], np.ndarray],
    outputs: str,
    calibration: np.ndarray | None = None,
) -> dict[str, float]:
    """Runs an export and its model on the same images.

    Args:
        model: Keras model that was exported.
        transform: Transform of its images.
        run: Function that runs the export on a batch.
        from_pixels: Function from uint8 pixels (N, H, W, 3) to what the export takes.
        outputs: What the export returns, as `export_tflite` takes it.
        calibration: uint8 images (N, H, W, 3) that it was calibrated with, or None.

    Returns:
        {set of images: relative L2 distance, the largest of all outputs}, as in
        `ExportResult.errors`.
    """
    reference = _reference(model, outputs)
    distance = _share_of_others if outputs == LABEL_MAP else _distance
    errors = {}
    for name, normalized, images in _image_sets(model, transform, from_pixels, calibration):
        expected = reference(normalized)
        received = run(images)
        errors[name] = max(distance(received[output], expected[output]) for output in expected)
    return errors


def _reference(model: MetaFormerModel, outputs: str) -> Run:
    """A function from images to {name of the output: what the Keras model computes}."""
    if outputs == "pyramid":
        backbone = getattr(model, "backbone", model)
        return backbone.feature_extractor()
    if outputs == "embedding":
        return lambda images: {outputs: model.embed(images)}
    if outputs == "probabilities":
        problem_type = model.config.problem_type
        return lambda images: {outputs: scores(model(images, training=False), problem_type)}
    if outputs == LABEL_MAP:
        return lambda images: {outputs: _label_maps(model(images, training=False), images)}
    return lambda images: {outputs: model(images, training=False)}


def _label_maps(logits: Any, images: np.ndarray) -> np.ndarray:
    """The class of each pixel of images (N, H, W, C)."""
    size = images.shape[1:3]
    return np.stack([label_map(one, size, size) for one in np.asarray(logits)])


def _share_of_others(received: np.ndarray, expected: np.ndarray) -> float:
    """The share of pixels that have another class."""
    return float(np.mean(received != expected))


def _distance(received: np.ndarray, expected: np.ndarray) -> float:
    length = np.linalg.norm(expected)
    if length == 0:  # of fresh weights
        return 0.0 if not np.any(received) else math.inf
    return float(np.linalg.norm(received - expected) / length)


def _image_sets(
    model: MetaFormerModel,
    transform: ImageTransform,
    from_pixels: Callable[[np.ndarray], np.ndarray],
    calibration: np.ndarray | None,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(Name, normalized images for the model, the same as the export takes them) of each set."""
    if model.config.in_channels != 3:
        shape = (CHECKED_IMAGES, *(transform.output_shape or ()), model.config.in_channels)
        noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        yield "noise", noise, noise
        return
    if calibration is not None and len(calibration):
        pixels = np.stack(spread(list(calibration), CHECKED_IMAGES))
        yield "calibration", transform.normalize(pixels), from_pixels(pixels)
    # Prepared to different sizes they would be no batch.
    count = CHECKED_IMAGES if transform.output_shape else 1
    pixels = transform.pixels(spread(sorted((ASSETS / "photos").iterdir()), count))
    yield "photographs", transform.normalize(pixels), from_pixels(pixels)
