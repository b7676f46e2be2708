"""Converts images to 8-bit RGB: one rule for every kind of pixel and every orientation."""

import numpy as np
import PIL.Image as Image
from PIL import ExifTags

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_SIXTEEN_BITS_IN_32 = ("PNG", "PPM")  # formats whose 16 bits Pillow may hold as 32


def to_rgb(image: Image.Image, upright: bool = True) -> Image.Image:
    """Converts an image to RGB; `images.files.load_image` states the rules.

    Args:
        image: Pillow image. It is not modified.
        upright: Whether it is turned according to its EXIF orientation.

    Raises:
        ValueError: Its values cannot be scaled to 8 bits.
        Exception: Any error that Pillow's decoders raise for corrupt files.
    """
    file_format = image.format
    image.load()
    turn = _TURNS.get(_orientation(image)) if upright else None
    image = _eight_bits(image, file_format)
    if isinstance(image.info.get("transparency"), bytes):
        image = image.copy()
        del image.info["transparency"]  # dropped, and Pillow would warn about it
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, or 0 where there is none that can be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 0)
    except Exception:  # corrupt EXIF data; browsers and TensorFlow ignore them too
        return 0
    return orientation if isinstance(orientation, int) else 0


def _eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """Scales gray of more than 8 bits; returns other images unchanged."""
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and file_format in _SIXTEEN_BITS_IN_32):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_scaled(np.asarray(image)))
    return image


def _scaled(values: np.ndarray) -> np.ndarray:
    lowest = values.min()
    highest = values.max()
    if not (lowest >= 0 and highest <= 255):  # also true for NaN
        raise ValueError(
            f"32-bit values must be 0 to 255, or fractions from 0 to 1. Received: {lowest:g} to "
            f"{highest:g}; save it with 8 or 16 bits"
        )
    if values.dtype.kind == "f" and highest <= 1:
        values = values * 255
    return np.rint(values).astype(np.uint8)
