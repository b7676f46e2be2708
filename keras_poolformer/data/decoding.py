"""Encoded images as the pixels of `image_files.load_image`, inside TensorFlow.

TensorFlow decodes the files of which it gives Pillow's pixels; of others the header says so, and
Pillow itself decodes them, on the host.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_poolformer.data.image_header import JPEG, OTHER, PNG, Header, read_header
from keras_poolformer.images.files import MAX_SOURCE_PIXELS, EncodedImage, load_image

READABLE = (
    f"expected a JPEG or PNG file of at most {MAX_SOURCE_PIXELS:,} pixels; other "
    "formats are decoded by ImageTransform and sent to the signature `pixels`"
)


@tf.function(autograph=False)  # traced once, and not for each pipeline that it is in
def decode(encoded, upright: bool = True):
    """Decodes an image file: `load_image` in a tf.data pipeline, to the bit.

    Args:
        encoded: Scalar string tensor, the file's content.
        upright: Whether EXIF orientation is applied.

    Returns:
        uint8 (H, W, 3).

    Raises:
        tf.errors.InvalidArgumentError: When it runs, on a corrupt or too large image, or on
            what is not an image.
    """
    return decode_known(read_header(encoded), encoded, upright)


def decode_known(header: Header, encoded, upright: bool = True):
    """Decodes an image file whose header was read; as `decode`."""
    kind = tf.where(is_exact(header), header.kind, OTHER)
    pixels = tf.switch_case(kind, _decoders(encoded, lambda: _on_host(encoded, upright)))
    if upright:
        pixels = turn(pixels, tf.where(kind == OTHER, 1, header.orientation))
    return tf.ensure_shape(pixels, (None, None, 3))


@tf.autograph.experimental.do_not_convert
def decode_in_graph(encoded):
    """Decodes an image file without Python, so that a SavedModel can hold it.

    The same pixels as `decode`, but for JPEGs in CMYK, which are within 4 of 255, and for an
    orientation that is noted in XMP and not in EXIF, which is not applied.

    Args:
        encoded: Scalar string tensor, the content of a JPEG or PNG file.

    Returns:
        uint8 (H, W, 3), upright.

    Raises:
        tf.errors.InvalidArgumentError: When it runs, on other formats, a corrupt or too large
            image.
    """
    header = read_header(encoded)
    check = tf.debugging.Assert(_is_bounded(header), [READABLE])
    with tf.control_dependencies([check] if check is not None else []):
        kind = tf.identity(header.kind)
    nothing = tf.zeros((1, 1, 3), tf.uint8)
    pixels = tf.switch_case(kind, _decoders(encoded, lambda: nothing))
    return tf.ensure_shape(turn(pixels, header.orientation), (None, None, 3))


def is_exact(header: Header):
    """bool scalar: whether TensorFlow decodes a file as Pillow does."""
    return header.is_exact & _is_bounded(header)


def _is_bounded(header):
    """Whether a file has as many pixels as `load_image` accepts."""
    pixels = tf.cast(header.height, tf.int64) * tf.cast(header.width, tf.int64)
    return (pixels > 0) & (pixels <= MAX_SOURCE_PIXELS)


def _decoders(encoded, other):
    """Functions without arguments, in the order of the kinds."""
    decoders = {
        OTHER: other,
        JPEG: lambda: _decode_jpeg(encoded),
        PNG: lambda: tf.io.decode_png(encoded, channels=3),
    }
    return [decoders[kind] for kind in sorted(decoders)]


def _on_host(encoded, upright):
    load = functools.partial(_load, upright=upright)
    return tf.numpy_function(load, [encoded], tf.uint8, stateful=False)


def _load(content, upright):
    return np.asarray(load_image(EncodedImage(content, "image file"), upright))


def _decode_jpeg(encoded):
    # As accurate as Pillow; on this choice the time does not depend.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def turn(pixels, orientation):
    """Turns a stored picture upright.

    Args:
        pixels: (H, W, C).
        orientation: Integer scalar, 1 to 8, as EXIF has it.
    """

    def turned():
        swapped, rows, columns = turns(orientation)
        image = tf.cond(swapped, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
        image = tf.cond(rows, lambda: tf.reverse(image, (0,)), lambda: image)
        return tf.cond(columns, lambda: tf.reverse(image, (1,)), lambda: image)

    return tf.cond(orientation > 1, turned, lambda: pixels)


def turns(orientation):
    """What makes a picture upright: whether its axes are swapped, then its rows and columns
    reversed; bool scalars."""
    return (
        orientation >= 5,
        tf.reduce_any(orientation == (3, 4, 7, 8)),
        tf.reduce_any(orientation == (2, 3, 6, 7)),
    )
