"""Proves that a Keras model equals the PyTorch class its checkpoint belongs to."""

from dataclasses import dataclass

import keras
import numpy as np

from conversion.oracles import build_oracle
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.models.classifier import PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.models.loading import load_preset
from keras_poolformer.sources import presets
from keras_poolformer.support.errors import InputError

TOLERANCE = 2e-6  # relative L2; a right port in float32 measures up to 6e-7


@dataclass(frozen=True)
class Verification:
    """Errors of a Keras model against a PyTorch one.

    Args:
        oracle: name of the PyTorch class.
        images: how many photographs went through both.
        errors: relative L2 distance of each stage's map and, where both compute the same
            head, of the logits.
        logits_compared: whether they do.
    """

    oracle: str
    images: int
    errors: dict
    logits_compared: bool

    @property
    def passed(self):
        """Whether every error is within `TOLERANCE`."""
        return all(error <= TOLERANCE for error in self.errors.values())

    def __str__(self):
        lines = [f"{self.images} photographs through {self.oracle}, relative L2 error:"]
        lines += [f"  {name:6} {error:.2e}" for name, error in self.errors.items()]
        if not self.logits_compared:
            lines.append("  logits not compared: the model's head is another, new, or absent")
        verdict = "equal" if self.passed else "NOT EQUAL"
        return "\n".join([*lines, f"{verdict} (tolerance {TOLERANCE:.0e})"])


def verify(source, photographs=None, progress=None, backbone=False, **arguments):
    """Loads a checkpoint into Keras and into PyTorch, and compares the two.

    Args:
        source: what `presets.resolve` takes, but for a .keras file.
        photographs: image files; by default those that the package ships.
        progress: a `Progress` whose next step is the comparison, or None.
        backbone: whether the checkpoint is compared without a head.
        **arguments: of `keras_poolformer.models.loading.load_preset`.

    Returns:
        (the Keras model, a `Verification`).
    """
    source = presets.resolve(source)
    if source.is_keras:
        raise InputError(f"{source.name}: give the PyTorch checkpoint that it was made from")
    source = presets.fetch_weights(source)
    model_class = PoolFormerBackbone if backbone else PoolFormerImageClassifier
    model = load_preset(model_class, source, **arguments)
    checkpoint = read_checkpoint(source.weights, arguments.get("use_ema", True))
    layout, own = presets.describe(checkpoint, source, arguments.get("layout"))
    oracle = build_oracle(
        model.config.replace(num_classes=own.num_classes, labels=None), layout.name
    )
    oracle.load(checkpoint.tensors)
    if progress:
        progress.start()
    images = _images(model, photographs)
    errors, logits_compared = compare(model, oracle, images, progress)
    return model, Verification(oracle.name, len(images), errors, logits_compared)


def compare(model, oracle, images, progress=None):
    """Relative L2 errors of stage maps and logits, and whether the logits are comparable."""
    outputs = _outputs(model)
    squares = {}
    for done, image in enumerate(images, start=1):
        expected = oracle.run(image[None])
        for name, received in outputs(image[None]).items():
            ours = np.asarray(keras.ops.convert_to_numpy(received), np.float64)
            if ours.shape != expected[name].shape and name == "logits":
                continue  # a new classifier, for other classes
            distance, size = squares.get(name, (0.0, 0.0))
            distance += ((ours - expected[name]) ** 2).sum()
            squares[name] = (distance, size + (expected[name] ** 2).sum())
        if progress:
            progress.advance(done, len(images))
    new_head = (model.provenance or {}).get("new_tensors")
    if model.config.head != oracle.head or new_head:
        squares.pop("logits", None)
    errors = {name: float(np.sqrt(a / b)) for name, (a, b) in squares.items()}
    return errors, "logits" in errors


def _outputs(model):
    """A function from images to {"P2": stage map, ..., "logits"} of a model or backbone."""
    if isinstance(model, PoolFormerBackbone):
        return keras.Model(model.input, model.pyramid_outputs)
    stages = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)
    return lambda images: dict(stages(images)) | {"logits": model(images)}


def _images(model, photographs):
    """The photographs, prepared; for other than three channels, channels are repeated."""
    if photographs is None:
        photographs = sorted((presets.ASSETS / "photos").glob("*.jpg"))
    batch = model.transform(list(photographs))
    channels = model.config.in_channels
    return batch[..., np.arange(channels) % 3]
