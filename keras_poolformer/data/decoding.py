"""Encoded images of any format that TensorFlow reads, as RGB."""

import tensorflow as tf

_HEAD = 54  # bytes: as long as the header of a BMP
_ALPHA = 0x10  # in a WebP header: the flag of an alpha channel


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def decode(encoded):
    """Decodes an image file.

    JPEG (grey, RGB, CMYK), PNG, GIF, WebP, and BMP of 8 bits a pixel and more. Of an animation
    the first frame counts; a WebP animation needs an alpha channel, or TensorFlow refuses it.

    The pixels are those of Pillow's `convert("RGB")`, alpha dropped and not blended, but for:
    CMYK, which may be 1 of 255 off; 16-bit grey PNGs, which are scaled to 8 bits where Pillow
    clips them; and GIFs' transparent pixels, which are black. The EXIF orientation is ignored,
    as timm's data sets ignore it (timm/data/dataset.py); `image_files.load_image`, which serves
    single pictures, heeds it.

    Args:
        encoded: scalar string tensor, the file's content.

    Returns:
        uint8 (H, W, 3).

    Raises:
        tf.errors.InvalidArgumentError: when it runs, on what is damaged or no image.
    """
    head = _head(encoded)
    container, content = tf.strings.substr(head, 0, 4), tf.strings.substr(head, 8, 4)
    is_bmp = tf.strings.substr(head, 0, 2) == b"BM"
    is_webp = (container == b"RIFF") & (content == b"WEBP")
    starts = (is_bmp, is_webp, is_jpeg(encoded))
    kind = tf.reduce_max(tf.where(starts, (1, 2, 3), 0))
    decoders = (_decode_other, _decode_bmp, _decode_webp, _decode_jpeg)
    pixels = tf.switch_case(kind, [lambda one=one: one(encoded) for one in decoders])
    return tf.ensure_shape(pixels, (None, None, 3))


def is_jpeg(encoded):
    """bool scalar: whether a file begins as JPEGs do."""
    return tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"


def _head(encoded):
    """The first bytes, and zeros where there are fewer.

    `substr` would fail beyond the end with a message that holds the bytes, which Python then
    fails to decode.
    """
    return tf.strings.join((tf.strings.substr(encoded, 0, _HEAD), bytes(_HEAD)))


def _decode_jpeg(encoded):
    # As accurate as Pillow; on this choice the time does not depend.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_other(encoded):
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _decode_bmp(encoded):
    """TensorFlow takes a palette's indices for levels of grey."""
    pixels = _decode_other(encoded)
    head = tf.cast(tf.io.decode_raw(_head(encoded), tf.uint8), tf.int32)

    def look_up():
        start = tf.minimum(14 + head[14], tf.strings.length(encoded))
        palette = tf.io.decode_raw(tf.strings.substr(encoded, start, 4 * 256), tf.uint8)
        palette = tf.reshape(palette, (-1, 4))[:, 2::-1]  # stored as blue, green, red, 0
        return tf.gather(palette, tf.cast(pixels[:, :, 0], tf.int32))

    return tf.cond(head[28] == 8, look_up, lambda: pixels)


def _decode_webp(encoded):
    # TensorFlow wants to be told how many channels the file has; asked to find out by itself it
    # overruns its memory on animations (2.20, 2.21).
    head = _head(encoded)
    kind, bytes_of_head = tf.strings.substr(head, 12, 4), tf.io.decode_raw(head, tf.uint8)
    flags = tf.where(kind == b"VP8L", bytes_of_head[24], bytes_of_head[20])
    has_alpha = (kind != b"VP8 ") & (flags & _ALPHA > 0)
    return tf.cond(
        has_alpha,
        lambda: tf.io.decode_webp(encoded, channels=4)[0, :, :, :3],
        lambda: tf.io.decode_webp(encoded, channels=3)[0],
    )
