"""From images to arrays of values: batches, and the normalization of 8-bit values."""

from collections.abc import Callable, Sequence

import numpy as np

from keras_poolformer.images.files import ImageSource, describe, is_array
from keras_poolformer.support.errors import InputError


def batch(
    images: Sequence[ImageSource], convert: Callable[[ImageSource], np.ndarray]
) -> np.ndarray:
    """Converts images one by one and stacks the results.

    Raises:
        InputError: There are no images, one is rejected (the message gives its position), or the
            results differ in shape.
    """
    if not images:
        raise InputError("the list of images is empty; at least one is needed")
    results: list[np.ndarray] = []
    for position, image in enumerate(images):
        try:
            results.append(convert(image))
        except InputError as error:
            raise type(error)(f"image {position} of the list: {error}") from error
    if any(result.shape != results[0].shape for result in results):
        raise InputError(
            "images of different sizes make a batch only with do_center_crop=True. "
            f"Received: {sorted({result.shape[:2] for result in results})}"
        )
    return np.stack(results)


def rescaled(pixels: object, factor: float | None, crop_mode: str) -> np.ndarray:
    """Multiplies 8-bit values, in the precision of the library that `crop_mode` names.

    Args:
        pixels: uint8 (..., 3).
        factor: Factor, or None to leave the values as they are.
        crop_mode: "timm" or "hf".

    Returns:
        float32 of the same shape.

    Raises:
        InputError: The array has another dtype or shape.
    """
    if not is_array(pixels) or pixels.dtype != np.uint8 or pixels.shape[-1:] != (3,):
        raise InputError(f"expected a uint8 array (..., 3). Received: {describe(pixels)}")
    if factor is None:
        return pixels.astype(np.float32)
    if crop_mode == "timm" and factor == 1 / 255:
        return pixels.astype(np.float32) / np.float32(255)
    return (pixels.astype(np.float64) * factor).astype(np.float32)
