"""Reads the header of a JPEG or PNG file with TensorFlow operations only.

They are few: each costs about a microsecond, and decoding a JPEG of ImageNet a thousand.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Kinds of files.
OTHER = 0
JPEG = 1
PNG = 2
_SIGNATURE_PNG = b"\x89PNG\r\n\x1a\n"
_SHORTEST = 16  # bytes; the headers of shorter files are not read
# An orientation can also be in XMP, or in a text as old ImageMagick writes it.
_TEXT_OF_JPEG = b"http://ns.adobe.com/xap/1.0/"
# Searching a whole file costs less than walking its segments, and most files have neither.
_MARK_IN_JPEG = r"\C*(?:Exif\x00\x00|http://ns\.adobe\.com/xap/1\.0/)\C*"
# Most headers are short, and made of segments of few lengths (in bytes; among them those of the
# usual tables). A regular expression can walk these, and then no search is needed.
_SHORT_HEADER = 1024  # bytes
_LENGTHS = (4, 11, 14, 16, 17, *range(20, 40), 67, 132, 181, 418)
_TEXT_OF_PNG = r"iTXtXML:com\.adobe\.xmp\C*|[tz]EXtRaw profile type exif\C*"
_ORIENTATION = 0x0112  # EXIF tag
_SHORT = 3  # EXIF type, 2 bytes
_LONG = 4  # EXIF type, 4 bytes


def _walked_segments() -> str:
    """Matches a JPEG, each byte a character, that has no segment APP1 before its pixels."""
    lengths = "|".join(
        rf"\x{length // 256:02x}\x{length % 256:02x}" + rf"[\x00-\xff]{{{length - 2}}}"
        for length in _LENGTHS
    )
    return rf"\xff\xd8(?:\xff[\xc0-\xd9\xdb-\xe0\xe2-\xfe](?:{lengths}))*\xff\xda[\x00-\xff]*"


class Header(NamedTuple):
    """The header of an image file, as scalar tensors.

    Args:
        kind: int32. `OTHER`, `JPEG` or `PNG`.
        height: int32. Stored height in pixels; 0 for other kinds.
        width: int32. Stored width in pixels; 0 for other kinds.
        orientation: int32. EXIF orientation, 1 to 8.
        is_exact: bool. Whether TensorFlow's pixels, turned by `orientation`, equal Pillow's.
    """

    kind: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    orientation: tf.Tensor
    is_exact: tf.Tensor


@tf.function(autograph=False)  # traced once, and not again in each pipeline
def read_header(encoded: tf.Tensor) -> Header:
    """Reads the header of an image file.

    Args:
        encoded: Scalar string tensor. Content of the file.

    Raises:
        tf.errors.InvalidArgumentError: When it runs: the file is a corrupt JPEG.
    """
    is_long = tf.strings.length(encoded) >= _SHORTEST
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    is_png = tf.strings.substr(encoded, 0, 8) == _SIGNATURE_PNG
    kind = tf.where(is_jpeg, JPEG, tf.where(is_png, PNG, OTHER))
    kind = tf.where(is_long, kind, OTHER)
    readers = (_read_other, _read_jpeg, _read_png)
    found = tf.switch_case(kind, [lambda read=read: read(encoded) for read in readers])
    height, width, channels, exif_at, has_text = tf.unstack(found)
    nothing = tf.constant(0)
    tagged = tf.cond(exif_at > 0, lambda: _orientation(encoded, exif_at), lambda: nothing)
    # Where EXIF has no orientation, Pillow looks for one in the texts.
    is_certain = (tagged > 0) | (has_text == 0)
    is_cmyk = channels == 4
    return Header(kind, height, width, tf.maximum(tagged, 1), is_certain & ~is_cmyk)


# Next position, position of EXIF data, whether there are EXIF data, whether there is a text.
_Part = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]

# Each reader returns int32 (5,): height, width, channels of a JPEG, position of the EXIF data or 0,
# and whether there are texts that may contain the orientation.


def _read_other(encoded: tf.Tensor) -> tf.Tensor:
    del encoded
    return tf.zeros(5, tf.int32)


def _read_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    def segment(position: tf.Tensor) -> _Part:
        marker, size = tf.unstack(_numbers(encoded, position, 2, tf.uint16))
        is_app1, is_fill = marker == 0xFFE1, marker == 0xFFFF
        # The compressed pixels follow the scan's header, and Pillow reads no further.
        is_in_front = (marker >= 0xFFC0) & (marker != 0xFFDA)
        text = tf.strings.substr(encoded, position + 4, len(_TEXT_OF_JPEG))
        is_exif = is_app1 & (tf.strings.substr(text, 0, 6) == b"Exif\0\0")
        is_text = is_app1 & (text == _TEXT_OF_JPEG)
        following = position + tf.where(is_fill, 1, size + 2)
        return tf.where(is_in_front, following, position), position + 10, is_exif, is_text

    def search() -> tf.Tensor:
        return tf.cond(
            tf.strings.regex_full_match(encoded, _MARK_IN_JPEG),
            lambda: _walk(encoded, 2, segment),
            lambda: nothing,
        )

    shape = tf.io.extract_jpeg_shape(encoded)
    nothing = tf.zeros(2, tf.int32)
    start = tf.strings.substr(encoded, 0, _SHORT_HEADER)
    start = tf.strings.unicode_transcode(start, "ISO-8859-1", "UTF-8")  # as patterns are read
    found = tf.cond(tf.strings.regex_full_match(start, _walked_segments()), lambda: nothing, search)
    return tf.concat((shape, found), axis=0)


def _read_png(encoded: tf.Tensor) -> tf.Tensor:
    def chunk(position: tf.Tensor) -> _Part:
        (size,) = tf.unstack(_numbers(encoded, position, 1, tf.int32))
        text = tf.strings.substr(encoded, position + 4, 26)
        is_exif = tf.strings.substr(text, 0, 4) == b"eXIf"
        is_text = tf.strings.regex_full_match(text, _TEXT_OF_PNG)
        return position + size + 12, position + 8, is_exif, is_text

    start = tf.concat((_numbers(encoded, 16, 2, tf.int32)[::-1], [0]), axis=0)
    return tf.concat((start, _walk(encoded, 8, chunk)), axis=0)


def _walk(encoded: tf.Tensor, start: int, step: Callable[[tf.Tensor], _Part]) -> tf.Tensor:
    """Walks the parts of a file up to the first one with EXIF data.

    Args:
        encoded: Content of the file.
        start: Position of the first part.
        step: Function from the position of a part to that of the next one, which is not greater
            at the end; the position that EXIF data would have in it; whether it is EXIF data;
            and whether it is a text.

    Returns:
        int32 (2,): position of the EXIF data or 0, and the number of texts.
    """
    last = tf.strings.length(encoded) - _SHORTEST

    def body(position: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        following, exif_at, is_exif, is_text = step(position)
        found += tf.stack((tf.where(is_exif, exif_at, 0), tf.cast(is_text, tf.int32)))
        return tf.where(is_exif | (following <= position), tf.int32.max, following), found

    return tf.while_loop(
        lambda position, _: position <= last, body, (tf.constant(start), tf.zeros(2, tf.int32))
    )[1]


def _orientation(encoded: tf.Tensor, exif_at: tf.Tensor) -> tf.Tensor:
    """The orientation in EXIF data, 1 to 8; 0 for none, 1 for values that are not valid."""
    prefixed = tf.strings.substr(encoded, exif_at, 6) == b"Exif\0\0"
    start = exif_at + tf.where(prefixed, 6, 0)
    order = tf.strings.substr(encoded, start, 4)
    kind = tf.where(order == b"II*\0", 1, tf.where(order == b"MM\0*", 2, 0))
    return tf.switch_case(
        kind,
        (
            lambda: tf.constant(0),
            lambda: _orientation_in(encoded, start, little_endian=True),
            lambda: _orientation_in(encoded, start, little_endian=False),
        ),
    )


def _orientation_in(encoded: tf.Tensor, start: tf.Tensor, little_endian: bool) -> tf.Tensor:
    length = tf.strings.length(encoded)
    offset = _numbers(encoded, start + 4, 1, tf.int32, little_endian)[0]
    directory = start + tf.clip_by_value(offset, 0, length)
    count = _numbers(encoded, directory, 1, tf.uint16, little_endian)[0]
    count = tf.minimum(count, (length - directory - 2) // 12)
    count = tf.where((offset >= 8) & (count > 0), count, 0)
    tags = _numbers(encoded, directory + 2, 6 * count, tf.uint16, little_endian)
    tag, kind, *values = tf.unstack(tf.reshape(tags, (-1, 6)), axis=1)
    count_low, count_high, low, high = values if little_endian else _swapped(values)
    short = values[2]  # the first two bytes, in either order
    value = tf.where(kind == _SHORT, short, low + high * 2**16)
    is_number = ((kind == _SHORT) | (kind == _LONG)) & (count_low == 1) & (count_high == 0)
    value = tf.where(is_number & (value >= 1) & (value <= 8), value, 1)
    return tf.maximum(tf.reduce_max(tf.where(tag == _ORIENTATION, value, 0)), 0)


def _swapped(values: list[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    return values[1], values[0], values[3], values[2]


def _numbers(
    encoded: tf.Tensor,
    position: int | tf.Tensor,
    count: int | tf.Tensor,
    dtype: tf.DType,
    little_endian: bool = False,
) -> tf.Tensor:
    """int32 (count,): numbers at a position of a file, or at its end for positions beyond it."""
    size = count * dtype.size
    position = tf.minimum(position, tf.strings.length(encoded) - size)
    piece = tf.strings.substr(encoded, position, size)
    numbers = tf.cast(tf.io.decode_raw(piece, dtype, little_endian=little_endian), tf.int32)
    if isinstance(count, int):
        numbers.set_shape((count,))
    return numbers
