"""Decodes images inside TensorFlow, with the pixels of `images.files.load_image`.

TensorFlow decodes the files for which its pixels equal Pillow's, which their headers show; Pillow
itself decodes the others, on the host.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_poolformer.data.image_header import JPEG, OTHER, PNG, Header, read_header
from keras_poolformer.images.files import MAX_SOURCE_PIXELS, EncodedImage, load_image

READABLE = (
    f"expected a JPEG or PNG file of at most {MAX_SOURCE_PIXELS:,} pixels; other "
    "formats are decoded by ImageTransform and sent to the signature `pixels`"
)


@tf.function(autograph=False)  # traced once, and not again in each pipeline
def decode(encoded: tf.Tensor, upright: bool = True) -> tf.Tensor:
    """Decodes an image file: `load_image` in a tf.data pipeline, bit for bit.

    Args:
        encoded: Scalar string tensor. Content of the file.
        upright: Whether the EXIF orientation is applied.

    Returns:
        uint8 (H, W, 3).

    Raises:
        tf.errors.InvalidArgumentError: When it runs: the image is corrupt or too large, or the
            file is not an image.
    """
    return decode_known(read_header(encoded), encoded, upright)


def decode_known(header: Header, encoded: tf.Tensor, upright: bool = True) -> tf.Tensor:
    """Decodes an image file whose header was read already; see `decode`."""
    kind = tf.where(is_exact(header), header.kind, OTHER)
    pixels = tf.switch_case(kind, _decoders(encoded, lambda: _on_host(encoded, upright)))
    if upright:
        pixels = turn(pixels, tf.where(kind == OTHER, 1, header.orientation))
    return tf.ensure_shape(pixels, (None, None, 3))


@tf.autograph.experimental.do_not_convert
def decode_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes an image file without Python, so that a SavedModel can contain it.

    The pixels are those of `decode`, except for JPEGs in CMYK, which differ by at most 4 of 255,
    and for an orientation in XMP instead of EXIF, which is not applied.

    Args:
        encoded: Scalar string tensor. Content of a JPEG or PNG file.

    Returns:
        uint8 (H, W, 3), upright.

    Raises:
        tf.errors.InvalidArgumentError: When it runs: the file has another format, or the image
            is corrupt or too large.
    """
    header = read_header(encoded)
    check = tf.debugging.Assert(_is_bounded(header), [READABLE])
    with tf.control_dependencies([check] if check is not None else []):
        kind = tf.identity(header.kind)
    nothing = tf.zeros((1, 1, 3), tf.uint8)
    pixels = tf.switch_case(kind, _decoders(encoded, lambda: nothing))
    return tf.ensure_shape(turn(pixels, header.orientation), (None, None, 3))


def is_exact(header: Header) -> tf.Tensor:
    """Returns a bool scalar: whether TensorFlow decodes a file as Pillow does."""
    return header.is_exact & _is_bounded(header)


def _is_bounded(header: Header) -> tf.Tensor:
    """Whether the number of pixels is one that `load_image` accepts."""
    pixels = tf.cast(header.height, tf.int64) * tf.cast(header.width, tf.int64)
    return (pixels > 0) & (pixels <= MAX_SOURCE_PIXELS)


def _decoders(encoded: tf.Tensor, other: Callable[[], tf.Tensor]) -> list[Callable[[], tf.Tensor]]:
    """Functions without arguments, in the order of the kinds."""
    decoders = {
        OTHER: other,
        JPEG: lambda: _decode_jpeg(encoded),
        PNG: lambda: tf.io.decode_png(encoded, channels=3),
    }
    return [decoders[kind] for kind in sorted(decoders)]


def _on_host(encoded: tf.Tensor, upright: bool) -> tf.Tensor:
    load = functools.partial(_load, upright=upright)
    return tf.numpy_function(load, [encoded], tf.uint8, stateful=False)


def _load(content: bytes, upright: bool) -> np.ndarray:
    return np.asarray(load_image(EncodedImage(content, "image file"), upright))


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # As accurate as Pillow, and no slower than the default.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def turn(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns a stored image upright.

    Args:
        pixels: (H, W, C).
        orientation: Integer scalar. EXIF orientation, 1 to 8.
    """

    def turned() -> tf.Tensor:
        swapped, rows, columns = turns(orientation)
        image = tf.cond(swapped, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
        image = tf.cond(rows, lambda: tf.reverse(image, (0,)), lambda: image)
        return tf.cond(columns, lambda: tf.reverse(image, (1,)), lambda: image)

    return tf.cond(orientation > 1, turned, lambda: pixels)


def turns(orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns how an image is turned upright.

    Args:
        orientation: Integer scalar. EXIF orientation, 1 to 8.

    Returns:
        bool scalars: whether the axes are swapped, then the rows reversed, the columns reversed.
    """
    return (
        orientation >= 5,
        tf.reduce_any(orientation == (3, 4, 7, 8)),
        tf.reduce_any(orientation == (2, 3, 6, 7)),
    )
