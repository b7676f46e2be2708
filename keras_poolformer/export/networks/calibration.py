"""From calibration images to the constants of an integer network."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.folders import spread
from keras_poolformer.data.image_listing import images_in
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.networks.integer import IntegerNetwork
from keras_poolformer.export.networks.ranges import Marker, Quantizer, Recorder
from keras_poolformer.support.errors import InputError

LARGEST_FOLDER = 500  # images used of a folder, evenly spread; more change nothing
BATCH = 16  # images at a time, so that memory does not grow with their number
# The places in the graph that carry the residual stream of a stage.
STREAM = re.compile(r"stage \d+( block \d+ (mixer|mlp) sum)?")
BLOCK_OUTPUT = re.compile(r"stage (\d+) block (\d+) mlp sum")


def read_calibration(calibration, transform, skip_broken=False, progress=None):
    """Reads calibration images.

    Args:
        calibration: a folder (searched through, with its subfolders; of more than
            `LARGEST_FOLDER` images an even selection), or a list or array of uint8 images of
            any size.
        transform: the `ImageTransform` that is applied to them.
        skip_broken: whether unreadable files are left out instead of refused.
        progress: called with (images read, images in all), or None.

    Returns:
        (uint8 images (N, size, size, 3), names of the files that were left out).

    Raises:
        InputError: there are none, or one cannot be read.
    """
    sources = _sources(calibration)
    images, broken = [], []
    for done, source in enumerate(sources, start=1):
        try:
            images.append(transform.pixels(source))
        except InputError:
            if not skip_broken:
                raise
            broken.append(str(source) if isinstance(source, Path) else f"image {done - 1}")
        if progress:
            progress(done, len(sources))
    if not images:
        raise InputError(
            f"calibration needs at least one readable image. Received: {len(sources)} images, "
            f"{len(broken)} of them unreadable"
        )
    return np.stack(images), broken


def _sources(calibration):
    if calibration is None:
        raise InputError(
            "recipe int8 needs calibration images, a few hundred like those that the model "
            "will see: a folder, or a list of uint8 arrays. Received: None"
        )
    if not isinstance(calibration, str | Path):
        return list(calibration)
    folder = Path(calibration)
    if not folder.is_dir():
        raise InputError(f"calibration must be a folder of images. Received: {calibration}")
    return spread(images_in(folder, recursive=True), LARGEST_FOLDER)


def calibrate(network, transform, images, progress=None):
    """Chooses channel scales, 8-bit ranges and corrected biases for a network.

    Args:
        network: the `FoldedNetwork` of a model of RGB images.
        transform: its `ImageTransform`.
        images: uint8 (N, size, size, 3).
        progress: called with (passes done, passes in all), or None.

    Returns:
        (IntegerNetwork, {tensor name: (low, high)}).
    """
    progress = progress or (lambda done, total: None)
    unscaled = tuple(np.ones_like(stage.bias) for stage in network.stages)
    integer = IntegerNetwork(network, unscaled, *affine_normalization(transform))
    pixels = images.astype(np.float32)

    stream = _StreamStatistics()
    for batch in _batches(pixels):
        integer(batch, stream)
    progress(1, 3)
    integer = dataclasses.replace(integer, scales=stream.scales())
    recorder = Recorder()
    for batch in _batches(pixels):
        integer(batch, recorder)
    ranges = recorder.ranges() | {"pixels": (0.0, 255.0)}
    progress(2, 3)
    integer = _correct_biases(integer, Quantizer(ranges), pixels, stream.means())
    progress(3, 3)
    return integer, ranges


def _correct_biases(integer, quantizer, pixels, means):
    """Takes off each block's output what rounding adds to it on average, block after block.

    What a block adds is measured with all blocks before it rounded and corrected.

    Args:
        integer: the `IntegerNetwork`.
        quantizer: rounds its tensors.
        pixels: calibration images.
        means: {(stage, block): mean of each channel of the block's exact output}.

    Returns:
        The corrected `IntegerNetwork`.
    """
    x = pixels
    for index, stage in enumerate(integer.network.stages):
        x = _in_batches(integer.embedding, (index,), x, quantizer)
        for number in range(len(stage.blocks)):
            place = (index, number)
            drifted = _in_batches(integer.block, place, x, quantizer)
            drift = drifted.mean((0, 1, 2), np.float64) * integer.scales[index] - means[place]
            integer = integer.with_less_bias(index, number, drift)
            x = _in_batches(integer.block, place, x, quantizer)
    return integer


def _in_batches(part, place, images, mark):
    """`part(*place, images, mark)` of an integer network, a few images at a time."""
    return np.concatenate([part(*place, batch, mark).numpy() for batch in _batches(images)])


def _batches(images):
    return (tf.constant(images[i : i + BATCH]) for i in range(0, len(images), BATCH))


class _StreamStatistics(Marker):
    """Gathers mean, largest value and root mean square of the stream's channels, by place."""

    def __init__(self):
        self._sums: dict[str, np.ndarray] = {}  # of values and of their squares, (2, C)
        self._largest: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    def __call__(self, name, tensor):
        if STREAM.fullmatch(name):
            values = np.asarray(tensor, np.float64)
            sums = np.stack([values.sum((0, 1, 2)), (values**2).sum((0, 1, 2))])
            self._sums[name] = self._sums.get(name, 0.0) + sums
            self._largest[name] = np.maximum(
                self._largest.get(name, 0.0), abs(values).max((0, 1, 2))
            )
            self._counts[name] = self._counts.get(name, 0) + values[..., 0].size
        return tensor

    def means(self):
        """Returns {(stage, block): mean of each channel of the block's output}."""
        return {
            (int(match[1]), int(match[2])): sums[0] / self._counts[name]
            for name, sums in self._sums.items()
            if (match := BLOCK_OUTPUT.fullmatch(name))
        }

    def scales(self):
        """One constant per channel and stage: between its deviation and its maximum.

        By the maximum alone, a channel with a long tail would use few of its 256 steps; by
        the deviation alone, its tail would be cut.
        """
        places: dict[int, list[str]] = {}
        for name in self._sums:
            places.setdefault(int(name.split()[1]), []).append(name)
        scales = []
        for _, names in sorted(places.items()):
            largest = np.max([self._largest[name] for name in names], 0)
            squares = np.mean([self._sums[name][1] / self._counts[name] for name in names], 0)
            scale = np.sqrt(largest * np.sqrt(squares))
            scales.append(np.maximum(scale, 1e-3 * scale.max() + 1e-12))  # silent channels
        return tuple(scales)
