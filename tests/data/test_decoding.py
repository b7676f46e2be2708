"""Decoding inside TensorFlow: who decodes which file, and what happens to corrupt ones.

tests/images/test_one_reading.py compares the pixels of every kind of file.
"""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.images.files import MAX_SOURCE_PIXELS
from tests.images.image_kinds import STORED, encode, image_kinds, oriented, png, with_xmp

tf = pytest.importorskip("tensorflow")
decoding = pytest.importorskip("keras_poolformer.data.decoding")
image_header = pytest.importorskip("keras_poolformer.data.image_header")


@pytest.fixture(scope="module")
def photo(rgb_photographs):
    return rgb_photographs[0].resize((61, 41))


def pillows(encoded):
    return np.array(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.fixture(scope="module")
def decode():
    """`decode` in a graph that is traced once."""
    return tf.function(decoding.decode, input_signature=[tf.TensorSpec((), tf.string)])


@pytest.fixture(scope="module")
def read_header():
    """`read_header` in a graph that is traced once."""
    return tf.function(image_header.read_header, input_signature=[tf.TensorSpec((), tf.string)])


def assert_pillows(decode, encoded):
    np.testing.assert_array_equal(decode(encoded).numpy(), pillows(encoded))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 20}], ids=str)
def test_jpegs(decode, photo, mode, options):
    assert_pillows(decode, encode(photo.convert(mode), "JPEG", **options))


def test_jpegs_of_any_subsampling(decode, photo):
    for subsampling in (0, 1, 2):
        assert_pillows(decode, encode(photo, "JPEG", subsampling=subsampling))


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "1"])
@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_pngs_and_gifs(decode, photo, mode, format):
    assert_pillows(decode, encode(photo.convert(mode), format))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "1"])
def test_bmps(decode, photo, mode):
    assert_pillows(decode, encode(photo.convert(mode), "BMP"))


def test_webp_animations(decode, photo):
    assert_pillows(decode, encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]))


# Who decodes ---------------------------------------------------------------------------------

KINDS = image_kinds()
EXACT = (".jpg", ".jfif", ".mpo", ".png", "no_suffix")
ON_HOST = ("cmyk.jpg", "xmp.jpg")


def test_only_jpegs_and_pngs_are_decoded_by_tensorflow(read_header):
    for name, (content, _) in KINDS.items():
        header = read_header(content)
        is_known = name.endswith(EXACT)
        assert bool(decoding.is_exact(header)) == (is_known and name not in ON_HOST), name
        if is_known:
            size = Image.open(io.BytesIO(content)).size
            assert (int(header.width), int(header.height)) == size, name


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("orientation", STORED)
def test_orientation_is_read(orientation, big_endian, read_header, decode):
    stored, exif = oriented(orientation, big_endian)
    exif[0x010F] = "a maker's name that lies behind the directory"
    for file_format in ("JPEG", "PNG"):
        header = read_header(encode(stored, file_format, exif=exif))
        assert (int(header.orientation), bool(header.is_exact)) == (orientation, True)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_without_meaning_is_none(value, read_header, photo):
    exif = Image.Exif()
    exif[0x0112] = value
    assert int(read_header(encode(photo, "JPEG", exif=exif)).orientation) == 1


def test_corrupt_exif_is_no_orientation(read_header, photo):
    exif = oriented(6)[1].tobytes()
    for length in range(6, len(exif)):
        header = read_header(encode(photo, "JPEG", exif=exif[:length]))
        assert int(header.orientation) in (1, 6)
    wild = exif[:10] + b"\xff\xff\xff\x7f" + exif[14:]  # a directory far beyond the end
    assert int(read_header(encode(photo, "JPEG", exif=wild)).orientation) == 1


def test_xmp_beside_exif_does_not_slow_a_file_down(read_header):
    stored, exif = oriented(6)
    header = read_header(encode(stored, "JPEG", exif=exif, xmp=with_xmp(3)[1]))
    assert (int(header.orientation), bool(header.is_exact)) == (6, True)


# Large and corrupt files -----------------------------------------------------------------------


def claimed(width, height):
    """A small PNG that claims any size."""
    content = png(np.zeros((2, 2), np.uint16), 0)
    head = content[12:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
    crc = zlib.crc32(head).to_bytes(4, "big")
    return content[:12] + head + crc + content[33:]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_they_are_decoded(decode):
    in_graph = tf.function(decoding.decode_in_graph)
    for width, height in ((23_000, 23_000), (13_378, 13_378), (2**31 - 1, 2**31 - 1)):
        assert width * height > MAX_SOURCE_PIXELS
        for function in (decode, in_graph):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"178[,956970]*|pixels"):
                function(claimed(width, height))


def damaged(photo):
    yield "empty", b""
    yield "one byte", b"B"
    yield "text", b"no image at all, but many letters"
    yield "JPEG's first bytes", b"\xff\xd8\xff"
    yield "JPEG's first bytes and junk", b"\xff\xd8\xff" + b"a" * 100
    yield "PNG's first bytes", b"\x89PNG\r\n\x1a\n"
    yield "PNG's first bytes and junk", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100
    yield "BMP's first bytes", b"BM"
    yield "WebP's first bytes", b"RIFF\x00\x00\x00\x00WEBP"
    for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        encoded = encode(photo, format)
        for part in (0.05, 0.5):
            yield f"{part:.0%} of a {format}", encoded[: int(len(encoded) * part)]


def test_damaged_files(decode, photo):
    for name, encoded in damaged(photo):
        with pytest.raises(tf.errors.InvalidArgumentError):
            pytest.fail(f"{name} was decoded: {decode(encoded).shape}")


def test_in_a_pipeline(photo):
    files = [encode(photo, "JPEG"), encode(photo, "PNG"), encode(photo.quantize(9), "BMP")]
    dataset = tf.data.Dataset.from_tensor_slices(files).map(decoding.decode, num_parallel_calls=2)
    assert dataset.element_spec == tf.TensorSpec((None, None, 3), tf.uint8)
    for ours, encoded in zip(dataset.as_numpy_iterator(), files, strict=True):
        np.testing.assert_array_equal(ours, pillows(encoded))
    broken = tf.data.Dataset.from_tensors(files[0][:200]).map(decoding.decode)
    with pytest.raises(tf.errors.InvalidArgumentError):
        next(iter(broken))
