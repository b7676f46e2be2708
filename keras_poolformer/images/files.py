"""Opens images from outside as upright RGB; corrupt files are met only here."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard, TypeVar

import numpy as np
import PIL.Image as Image
from PIL import UnidentifiedImageError

from keras_poolformer.images.formats import NOT_PIXELS, describe_unknown
from keras_poolformer.images.rgb import to_rgb
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import one_line, shown

MAX_SOURCE_PIXELS = 178_956_970  # above this Pillow reports a decompression bomb
LABEL_MODES = ("1", "L", "P", "I;16", "I;16B", "I")  # of masks
INPUT_DATA_FORMATS = ("channels_last", "channels_first", "none")


@dataclass(frozen=True)
class EncodedImage:
    """An image file in memory.

    Args:
        content: Bytes of the file.
        name: Name of the image, for errors.
    """

    content: bytes = field(repr=False)
    name: str

    def __str__(self) -> str:
        return self.name


Decoded = TypeVar("Decoded")
ImageSource = str | os.PathLike[str] | EncodedImage | Image.Image | np.ndarray


def load_image(source: ImageSource, upright: bool = True) -> Image.Image:
    """Opens an image as 8-bit RGB, upright according to its EXIF orientation.

    Everything in this package that reads images gets these pixels (docs/images.md has the table):

    - EXIF orientation is applied.
    - Transparency is dropped, not blended: in palettes, GIFs, gray and color images alike.
    - 16 bits a channel keep their high byte. 32-bit integers and floats are rounded, and must
      be from 0 to 255; floats of which none exceeds 1 are multiplied by 255 first.
    - CMYK and other color spaces become RGB as by `Image.convert("RGB")`. Color profiles are
      ignored.
    - Animations and files of several pages are read up to their first frame.

    Args:
        source: Path, `EncodedImage`, PIL image, or uint8 array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4).
        upright: Whether EXIF orientation is applied.

    Returns:
        PIL image in mode RGB.

    Raises:
        ImageError: The file is missing, corrupt, not a regular file, too large, or not an image.
        InputError: The source has the wrong type, dtype or shape.
    """
    if isinstance(source, Image.Image):
        return _decoded(source, "the image", upright)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if not _is_file_source(source):
        raise InputError(
            f"an image must be a path, a PIL image or a uint8 array. Received: {describe(source)}"
        )
    return _opened(source, lambda image, name: _decoded(image, name, upright))


def load_label_map(source: str | os.PathLike[str] | EncodedImage) -> np.ndarray:
    """Opens a mask: an image whose values are the numbers of classes.

    Args:
        source: Path or `EncodedImage` of a grayscale, black and white or palette image, of which
            the places in the palette are the numbers.

    Returns:
        int32 (H, W).

    Raises:
        ImageError: The file is missing, corrupt, not a regular file, too large, or not such an
            image.
    """
    return _opened(source, _label_map)


def _label_map(image: Image.Image, name: str) -> np.ndarray:
    if image.mode not in LABEL_MODES:
        raise ImageError(
            f"{name}: a mask must be grayscale or have a palette, with the number of a class at "
            f"each pixel. Received: mode {image.mode}"
        )
    _check_source_pixels(image.width, image.height, name)
    return np.asarray(image).astype(np.int32)


def _opened(
    source: str | os.PathLike[str] | EncodedImage, decode: Callable[[Image.Image, str], Decoded]
) -> Decoded:
    """What `decode` makes of an image file and its name in errors."""
    name = describe(source)
    try:
        with Image.open(_file(source, name)) as image:
            if image.format in NOT_PIXELS:
                raise ImageError(
                    f"{name}: {image.format} is not made of pixels; convert it to PNG first"
                )
            return decode(image, name)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: {describe_unknown(_head(source))}") from error
    except Exception as error:  # as in `_decoded`
        raise ImageError(f"{name}: cannot be read as an image: {one_line(error)}") from error


def _is_file_source(source: object) -> bool:
    return isinstance(source, str | os.PathLike | EncodedImage)


def _file(
    source: str | os.PathLike[str] | EncodedImage, name: str
) -> str | os.PathLike[str] | io.BytesIO:
    """Returns what Pillow opens: a path, or the file in memory."""
    if isinstance(source, EncodedImage):
        return io.BytesIO(source.content)
    if not Path(source).exists():
        raise ImageError(f"{name}: no such file; expected the path of an image")
    if not Path(source).is_file():  # a FIFO would wait for its writer, a device never end
        raise ImageError(f"{name}: not a regular file; expected the path of an image")
    return source


def _head(source: str | os.PathLike[str] | EncodedImage) -> bytes:
    if isinstance(source, EncodedImage):
        return source.content[:16]
    with Path(source).open("rb") as file:
        return file.read(16)


def _decoded(image: Image.Image, name: str, upright: bool) -> Image.Image:
    _check_source_pixels(image.width, image.height, name)
    try:
        return to_rgb(image, upright)
    except Exception as error:
        # Pillow's decoders answer corrupt files with almost any exception: OSError, SyntaxError,
        # struct.error, IndexError, zlib.error, DecompressionBombError, ...
        raise ImageError(f"{name}: cannot be read as an image: {one_line(error)}") from error


def channels_last(source: ImageSource, input_data_format: str | None) -> ImageSource:
    """Returns an array as (H, W) or (H, W, C), and any other source unchanged.

    Args:
        source: Image as `load_image` accepts it, or an array (C, H, W).
        input_data_format: "channels_last", "channels_first", "none" for (H, W), or None for any
            form that `load_image` accepts.

    Raises:
        InputError: The format is unknown, or the array has another number of dimensions.
    """
    if input_data_format is None:
        return source
    if input_data_format not in INPUT_DATA_FORMATS:
        raise InputError(
            f"`input_data_format` must be one of {', '.join(INPUT_DATA_FORMATS)}. "
            f"Received: {shown(input_data_format)}"
        )
    if not isinstance(source, np.ndarray):
        return source
    dimensions = 2 if input_data_format == "none" else 3
    if source.ndim != dimensions:
        raise InputError(
            f"an array with `input_data_format`={input_data_format!r} must have {dimensions} "
            f"dimensions. Received: {describe(source)}"
        )
    return np.moveaxis(source, 0, -1) if input_data_format == "channels_first" else source


def _from_array(array: np.ndarray) -> Image.Image:
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not has_shape:
        raise InputError(
            "an image array must be uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); "
            f"pass several as a list. Received: {describe(array)}"
        )
    _check_source_pixels(array.shape[1], array.shape[0], "the array")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def _check_source_pixels(width: int, height: int, name: str) -> None:
    """Rejects an image by the size in its header, before memory is spent on its pixels."""
    if not 0 < width * height <= MAX_SOURCE_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} is {width * height:,} pixels; "
            f"expected 1 to {MAX_SOURCE_PIXELS:,}"
        )


def is_array(value: object) -> TypeGuard[np.ndarray]:
    """Whether a value is a NumPy array."""
    return isinstance(value, np.ndarray)


def describe(source: object) -> str:
    """Returns how errors name an image: its path or name, or dtype and shape, or type."""
    if isinstance(source, str | os.PathLike):
        return f"image {os.fspath(source)!r}"
    if isinstance(source, EncodedImage):
        return source.name
    if is_array(source):
        return f"{source.dtype} array {source.shape}"
    return "the image" if isinstance(source, Image.Image) else type(source).__name__
