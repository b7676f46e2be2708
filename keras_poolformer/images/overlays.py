"""Draws a label for each pixel over the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image as Image

from keras_poolformer.images.files import load_image
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.labels import Color
from keras_poolformer.support.errors import InputError

OPACITY = 0.5
COLORS = 256  # of PASCAL VOC's palette


def overlay(image: Any, labels: np.ndarray, palette: Sequence[Color] | None = None) -> Image.Image:
    """Draws labels over an image, half transparent.

    Args:
        image: Path, PIL image or uint8 array (H, W, 3).
        labels: Class of each pixel, whole numbers (H, W) of the image's own size. Pixels of a
            class without a color, such as the ignored 255, stay as they are.
        palette: Color (red, green, blue) of each class; by default PASCAL VOC's.

    Returns:
        RGB image of the same size, upright.

    Raises:
        InputError: The image cannot be read, or the labels are not of its size.
    """
    picture = np.asarray(load_image(image))
    labels = np.asarray(labels)
    if labels.shape != picture.shape[:2] or not np.issubdtype(labels.dtype, np.integer):
        height, width = picture.shape[:2]
        raise InputError(
            f"`labels` must be whole numbers of shape ({height}, {width}), the image's. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    colors = np.array(voc_palette()[:IGNORED_LABEL] if palette is None else palette, np.float32)
    has_color = (labels >= 0) & (labels < len(colors))
    drawn = picture.copy()
    mixed = (1 - OPACITY) * picture[has_color] + OPACITY * colors[labels[has_color]]
    drawn[has_color] = np.round(mixed)
    return Image.fromarray(drawn)


def voc_palette() -> tuple[Color, ...]:
    """Returns the colors of PASCAL VOC's label images: each class's bits, spread over channels."""
    colors = np.zeros((COLORS, 3), int)
    for channel in range(3):
        for bit in range(3):  # of 8 bits, every third goes to the same channel
            value = np.arange(COLORS) >> (3 * bit + channel) & 1
            colors[:, channel] |= value << (7 - bit)
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)
