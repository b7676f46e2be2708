"""Proves that a Keras model equals the PyTorch class its checkpoint belongs to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

from conversion.checkpoints import read_checkpoint
from conversion.oracles import Oracle, build_oracle
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.label_maps import label_map
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.opening import build_model
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.shipped import sample_photographs
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress

# Relative L2 of a port in float32: a correct one measures up to 6e-7 for networks of the first
# paper, up to 2.5e-6 for those of the second.
TOLERANCE = 2e-6
SECOND_PAPER_TOLERANCE = 4e-6
SEGMENTER_TOLERANCE = 3e-6
LEAST_EQUAL_LABELS = 0.9999  # of all pixels


@dataclass(frozen=True)
class Verification:
    """Errors of a Keras model against a PyTorch one.

    Args:
        oracle: Name of the PyTorch class.
        images: Number of photographs that both classified.
        errors: Relative L2 distance of each stage's map, of a segmenter's neck and, where both
            compute the same head, of the logits.
        logits_compared: Whether both compute the same head.
        tolerance: Largest error of a correct port.
        equal_labels: Fraction of pixels to which both segmenters give the same label, or None.
    """

    oracle: str
    images: int
    errors: dict[str, float]
    logits_compared: bool
    tolerance: float
    equal_labels: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every error is within the tolerance, and labels are equal."""
        same_labels = self.equal_labels is None or self.equal_labels >= LEAST_EQUAL_LABELS
        return same_labels and all(error <= self.tolerance for error in self.errors.values())

    def __str__(self) -> str:
        lines = [f"{self.images} photographs through {self.oracle}, relative L2 error:"]
        lines += [f"  {name:6} {error:.2e}" for name, error in self.errors.items()]
        if self.equal_labels is not None:
            lines.append(f"  labels of {self.equal_labels:.4%} of the pixels are equal")
        if not self.logits_compared:
            lines.append("  logits not compared: the model's head is another, new, or absent")
        verdict = "equal" if self.passed else "NOT EQUAL"
        return "\n".join([*lines, f"{verdict} (tolerance {self.tolerance:.0e})"])


def verify(
    source: str,
    photographs: Sequence[str | Path] | None = None,
    progress: Progress | None = None,
    backbone: bool = False,
    overrides: Mapping[str, Any] | None = None,
    **reading: Any,
) -> tuple[MetaFormerModel, Verification]:
    """Loads a checkpoint into Keras and into PyTorch, and compares the two.

    Args:
        source: Name, path or URI of a PyTorch checkpoint, as `sources.resolve` takes it.
        photographs: Image files; by default those that the package ships.
        progress: `Progress` whose next step is the comparison, or None.
        backbone: Whether the checkpoint is compared without a head.
        overrides: Fields of `MetaFormerConfig` that replace the checkpoint's.
        **reading: Further arguments of `keras_poolformer.sources.Source.read`.

    Returns:
        (the Keras model, a `Verification`).
    """
    mixers = (overrides or {}).get("token_mixers")
    contents, named = read_checkpoint(source, token_mixers=mixers, **reading)
    model = build_model(contents, backbone, overrides)
    classes = {"num_classes": contents.config.num_classes, "labels": None, "palette": None}
    config = model.config.replace(**classes)
    oracle = build_oracle(config, named.layout.name)
    if config.is_segmenter != (oracle.head == SEMANTIC_FPN):
        raise InputError(
            f"{source}: only a model of the checkpoint's task, or its backbone, can be compared. "
            f"Received: head={config.head!r}, layout {named.layout.name}"
        )
    oracle.load(named.tensors)
    if progress:
        progress.start()
    images = _images(model, photographs)
    comparison = compare(model, oracle, images, progress)
    return model, Verification(
        oracle.name, len(images), tolerance=_tolerance(config), **vars(comparison)
    )


def _tolerance(config: MetaFormerConfig) -> float:
    if config.is_segmenter:
        return SEGMENTER_TOLERANCE
    return SECOND_PAPER_TOLERANCE if config.embedding_norm else TOLERANCE


@dataclass(frozen=True)
class Comparison:
    """Errors of a Keras model against a PyTorch one; `Verification` describes the fields."""

    errors: dict[str, float]
    logits_compared: bool
    equal_labels: float | None


def compare(
    model: MetaFormerModel, oracle: Oracle, images: np.ndarray, progress: Progress | None = None
) -> Comparison:
    """Returns the relative L2 errors of stage maps and logits, and what else was compared.

    Args:
        model: Keras model.
        oracle: PyTorch model.
        images: (N, H, W, in_channels) float32, normalized.
        progress: `Progress` of the comparison, or None.
    """
    outputs = _outputs(model)
    squares: dict[str, tuple[float, float]] = {}
    equal: list[float] = []
    for done, image in enumerate(images, start=1):
        expected = oracle.run(image[None])
        for name, received in outputs(image[None]).items():
            ours = np.asarray(keras.ops.convert_to_numpy(received), np.float64)
            if ours.shape != expected[name].shape and name == "logits":
                continue  # a new classifier, for other classes
            distance, size = squares.get(name, (0.0, 0.0))
            distance += ((ours - expected[name]) ** 2).sum()
            squares[name] = (distance, size + (expected[name] ** 2).sum())
            if name == "logits" and oracle.head == SEMANTIC_FPN:
                equal.append(_equal_labels(ours[0], expected[name], image.shape[:2]))
        if progress:
            progress.advance(done, len(images))
    if model.config.head != oracle.head or model.provenance.new_tensors:
        squares.pop("logits", None)
    errors = {name: float(np.sqrt(a / b)) for name, (a, b) in squares.items()}
    has_logits = "logits" in errors
    return Comparison(errors, has_logits, float(np.mean(equal)) if has_logits and equal else None)


def _equal_labels(logits: np.ndarray, expected: np.ndarray, size: tuple[int, int]) -> float:
    """The fraction of an image's pixels with equal labels; PyTorch resizes its own logits."""
    theirs = torch.from_numpy(expected).movedim(-1, 1)
    full = torch.nn.functional.interpolate(theirs, size=size, mode="bilinear", align_corners=False)
    return float(np.mean(label_map(logits, size, size) == full[0].argmax(0).numpy()))


def _outputs(model: Any) -> Callable[[np.ndarray], Mapping[str, Any]]:
    """A function from images to {"P2": stage map, ..., "logits"} of a model or backbone."""
    if isinstance(model, MetaFormerSegmenter):
        neck = {f"N{level[1:]}": model.get_layer(f"neck_output_{stage}").output
                for stage, level in enumerate(model.config.levels)}  # fmt: skip
        pyramid = model.backbone.pyramid_outputs
        return keras.Model(model.input, {**pyramid, **neck, "logits": model.output})
    if isinstance(model, MetaFormerBackbone):
        return keras.Model(model.input, model.pyramid_outputs)
    stages = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)
    return lambda images: dict(stages(images)) | {"logits": model(images)}


def _images(model: MetaFormerModel, photographs: Sequence[str | Path] | None) -> np.ndarray:
    """The photographs, prepared; for other than three channels, channels are repeated."""
    if photographs is None:
        photographs = sample_photographs("*.jpg")
    batch = model.transform(list(photographs))
    channels = model.config.in_channels
    return batch[..., np.arange(channels) % 3]
