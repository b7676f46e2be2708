"""The random rectangles of timm: the box of the crop, and the one that is erased."""

import math
from typing import Any

import tensorflow as tf

Range = tuple[float, float]  # lowest and highest value
TRIES = 10  # attempts to draw a rectangle that fits, for the crop and for the erasing, as in timm
RECTANGLE_DRAWS = 2 * TRIES + 2  # numbers: area and ratio of each attempt, position
ERASED_AREA = (0.02, 1 / 3)  # timm/data/random_erasing.py
ERASED_RATIO = (0.3, 1 / 0.3)


def crop_box(
    areas: Range, ratios: Range, height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor
) -> tf.Tensor:
    """Computes the box of the crop, as timm's `RandomResizedCropAndInterpolation.get_params`.

    Args:
        areas: Range of the area of the box, as a fraction of the image's.
        ratios: Range of the aspect ratio of the box, width over height.
        height: Scalar int32. Height of the image.
        width: Scalar int32. Width of the image.
        draws: float32 (RECTANGLE_DRAWS,), uniform in [0, 1).

    Returns:
        int32 (4,): top, left, height and width, inside the image, at least one pixel.
    """
    rows, columns = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    area, ratio = _areas_and_ratios(areas, ratios, draws)
    area *= rows * columns
    heights, widths = tf.round(tf.sqrt(area / ratio)), tf.round(tf.sqrt(area * ratio))
    fits = (heights <= rows) & (widths <= columns) & (heights >= 1.0) & (widths >= 1.0)
    # Otherwise the whole image, cropped to the allowed aspect ratios.
    tallest = tf.maximum(tf.minimum(tf.round(columns * (1 / ratios[0])), rows), 1.0)
    widest = tf.maximum(tf.minimum(tf.round(rows * ratios[1]), columns), 1.0)
    crop_height, crop_width, found = _first_that_fits(fits, (heights, tallest), (widths, widest))
    space = tf.stack((height - crop_height, width - crop_width))
    place = tf.where(found, _place(draws, space), space // 2)
    return tf.concat((place, (crop_height, crop_width)), axis=0)


def erased_rectangle(size: int, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the rectangle that becomes noise, as timm's `RandomErasing` with its defaults.

    Args:
        size: Side of the image.
        draws: float32 (RECTANGLE_DRAWS,), uniform in [0, 1).

    Returns:
        (int32 (4,): top, left, height and width; bool scalar: whether there is one).
    """
    area, ratio = _areas_and_ratios(ERASED_AREA, ERASED_RATIO, draws)
    area *= float(size * size)
    heights, widths = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
    fits = (heights < size) & (widths < size)
    height, width, found = _first_that_fits(fits, (heights, 0.0), (widths, 0.0))
    place = _place(draws, tf.stack((size - height, size - width)))
    return tf.concat((place, (height, width)), axis=0), found


def _areas_and_ratios(areas: Range, ratios: Range, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Uniform areas and log-uniform ratios, one of each for every attempt: float32 (TRIES,)."""
    low, high = math.log(ratios[0]), math.log(ratios[1])
    area = areas[0] + draws[:TRIES] * (areas[1] - areas[0])
    return area, tf.exp(low + draws[TRIES : 2 * TRIES] * (high - low))


def _first_that_fits(
    fits: tf.Tensor, heights: tuple[Any, Any], widths: tuple[Any, Any]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The first attempt that fits.

    Args:
        fits: bool (TRIES,).
        heights: Heights of the attempts (TRIES,), and the one to take if none fits.
        widths: The same for widths.

    Returns:
        int32 height, int32 width, bool whether one fits; all scalars.
    """
    found = tf.reduce_any(fits)
    first = tf.argmax(fits)
    height, width = (
        tf.cast(tf.where(found, tries[first], other), tf.int32)
        for tries, other in (heights, widths)
    )
    return height, width, found


def _place(draws: tf.Tensor, space: tf.Tensor) -> tf.Tensor:
    """Uniform whole numbers from 0 to `space`: int32 (2,)."""
    place = draws[2 * TRIES :] * tf.cast(space + 1, tf.float32)
    return tf.minimum(tf.cast(place, tf.int32), space)  # the product may have been rounded up
