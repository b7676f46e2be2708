"""From calibration images to the constants of an integer network."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from keras_poolformer.data.folders import spread
from keras_poolformer.data.image_listing import images_in
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.networks.folding import FoldedNetwork
from keras_poolformer.export.networks.integer import IntegerNetwork
from keras_poolformer.export.networks.places import MLP_SUM, PIXELS, Place
from keras_poolformer.export.networks.ranges import Marker, Quantizer, Range, Recorder
from keras_poolformer.export.networks.scaling import ScaleStatistics, unit_scales
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError

LARGEST_FOLDER = 500  # images used of a folder, evenly spread; more change nothing
BATCH = 16  # images at a time, so that memory does not grow with their number
PIXEL_RANGE = (0.0, 255.0)

Calibration: TypeAlias = str | os.PathLike[str] | Sequence[Any] | np.ndarray
Progress: TypeAlias = Callable[[int, int], None]


def read_calibration(
    calibration: Calibration | None,
    transform: ImageTransform,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Reads calibration images.

    Args:
        calibration: Folder, searched with its subfolders (of more than `LARGEST_FOLDER` images an
            even selection is read); or a list or array of uint8 images of any size.
        transform: Transform that crops them as the model's own images.
        skip_broken: Whether to skip corrupt files instead of rejecting the folder.
        progress: Function that is called with (images read, number of images), or None.

    Returns:
        (uint8 images (N, H, W, 3), names of the files that were skipped).

    Raises:
        InputError: There are no images, or one cannot be read.
    """
    sources = _sources(calibration)
    images: list[np.ndarray] = []
    broken: list[str] = []
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
            f"{len(broken)} of them corrupt"
        )
    return np.stack(images), broken


def _sources(calibration: Calibration | None) -> list[Any]:
    if calibration is None:
        raise InputError(
            "this recipe needs calibration images, a few hundred like those that the model will "
            "see: a folder, or a list of uint8 arrays. Received: None"
        )
    if not isinstance(calibration, str | os.PathLike):
        return list(calibration)
    folder = Path(calibration)
    if not folder.is_dir():
        raise InputError(f"calibration must be a folder of images. Received: {calibration}")
    return list(spread(images_in(folder, recursive=True), LARGEST_FOLDER))


def calibrate(
    network: FoldedNetwork,
    transform: ImageTransform,
    images: np.ndarray,
    progress: Progress | None = None,
) -> tuple[IntegerNetwork, dict[Place, Range]]:
    """Chooses channel scales, 8-bit ranges and corrected biases for a network.

    Args:
        network: Folded network of a model of RGB images.
        transform: Transform of the model's images.
        images: uint8 (N, H, W, 3), cropped by the transform.
        progress: Function that is called with (passes done, number of passes), or None.

    Returns:
        (The integer network, the range of each of its tensors).
    """
    progress = progress or (lambda done, total: None)
    integer = IntegerNetwork(network, unit_scales(network), *affine_normalization(transform))
    pixels = images.astype(np.float32)

    statistics = ScaleStatistics()
    for batch in _batches(pixels):
        integer(batch, statistics)
    progress(1, 3)
    integer = dataclasses.replace(integer, scales=statistics.scales(network))
    recorder = Recorder()
    for batch in _batches(pixels):
        integer(batch, recorder)
    ranges = recorder.ranges() | {PIXELS: PIXEL_RANGE}
    progress(2, 3)
    integer = _correct_biases(integer, Quantizer(ranges), pixels, statistics.means())
    progress(3, 3)
    return integer, ranges


def _correct_biases(
    integer: IntegerNetwork,
    quantizer: Quantizer,
    pixels: np.ndarray,
    means: Mapping[tuple[int, int], np.ndarray],
) -> IntegerNetwork:
    """Subtracts from each block's output what rounding adds to it on average, block after block.

    What a block adds is measured with all blocks before it rounded and corrected.

    Args:
        integer: Network to correct.
        quantizer: Marker that rounds its tensors.
        pixels: Calibration images.
        means: {(stage, block): mean of each channel of the block's exact output}.
    """
    x = pixels
    for index, stage in enumerate(integer.network.stages):
        x = _in_batches(integer.embedding, (index,), x, quantizer)
        for number in range(len(stage.blocks)):
            position = (index, number)
            drifted = _in_batches(integer.block, position, x, quantizer)
            scale = integer.scales[Place(index, number, MLP_SUM)]
            drift = drifted.mean((0, 1, 2), np.float64) * scale - means[position]
            integer = integer.with_less_bias(index, number, drift)
            x = _in_batches(integer.block, position, x, quantizer)
    return integer


def _in_batches(
    part: Callable[..., tf.Tensor], position: tuple[int, ...], images: np.ndarray, mark: Marker
) -> np.ndarray:
    """`part(*position, images, mark)` of an integer network, a few images at a time."""
    return np.concatenate([part(*position, batch, mark).numpy() for batch in _batches(images)])


def _batches(images: np.ndarray) -> Iterator[tf.Tensor]:
    return (tf.constant(images[i : i + BATCH]) for i in range(0, len(images), BATCH))
