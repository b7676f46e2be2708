"""Decoding inside TensorFlow against Pillow: the same pixels, format by format."""

import io

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")
decoding = pytest.importorskip("keras_poolformer.data.decoding")


@pytest.fixture(scope="module")
def photo(rgb_photographs):
    return rgb_photographs[0].resize((61, 41))


@pytest.fixture(scope="module")
def see_through(photo):
    """The photograph with an upper half of opacity 128, the lower half invisible."""
    opacity = np.zeros((41, 61), np.uint8)
    opacity[:20] = 128
    image = photo.convert("RGBA")
    image.putalpha(Image.fromarray(opacity))
    return image


def encode(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pillows(encoded):
    return np.array(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.fixture(scope="module")
def decode():
    """`decode` in a graph that is traced once."""
    return tf.function(decoding.decode, input_signature=[tf.TensorSpec((), tf.string)])


def assert_pillows(decode, encoded):
    np.testing.assert_array_equal(decode(encoded).numpy(), pillows(encoded))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 20}], ids=str)
def test_jpegs(decode, photo, mode, options):
    encoded = encode(photo.convert(mode), "JPEG", **options)
    ours, theirs = decode(encoded).numpy(), pillows(encoded).astype(int)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= (1 if mode == "CMYK" else 0)


def test_jpegs_of_any_subsampling(decode, photo):
    for subsampling in (0, 1, 2):
        assert_pillows(decode, encode(photo, "JPEG", subsampling=subsampling))


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "1"])
@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_pngs_and_gifs(decode, photo, mode, format):
    assert_pillows(decode, encode(photo.convert(mode), format))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_bmps(decode, photo, mode):
    assert_pillows(decode, encode(photo.convert(mode), "BMP"))


def test_bmps_of_less_than_8_bits_are_refused(decode, photo):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(encode(photo.convert("1"), "BMP"))


@pytest.mark.parametrize("colors", [2, 17, 256])
def test_palettes_of_bmps(decode, photo, colors):
    image = photo.quantize(colors)
    assert_pillows(decode, encode(image, "BMP"))


@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_alpha_is_dropped_not_blended(decode, see_through, format):
    encoded = encode(see_through, format)
    assert_pillows(decode, encoded)
    np.testing.assert_array_equal(decode(encoded), np.array(see_through)[:, :, :3])


def test_transparent_palette(decode, photo):
    assert_pillows(decode, encode(photo.quantize(64), "PNG", transparency=3))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colours_keep_the_upper_byte(decode, channels):
    levels = np.random.default_rng(0).integers(0, 65536, (41, 61, channels)).astype(np.uint16)
    encoded = tf.io.encode_png(levels).numpy()
    assert_pillows(decode, encoded)
    np.testing.assert_array_equal(decode(encoded), levels[:, :, :3] >> 8)


def test_16_bit_greys_are_scaled_where_pillow_clips(decode):
    levels = np.random.default_rng(0).integers(0, 65536, (41, 61)).astype(np.uint16)
    expected = np.repeat(levels[:, :, None] >> 8, 3, axis=2)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(levels), "PNG")), expected)


def test_first_frame_of_a_gif(decode, photo):
    frames = [photo.rotate(90), photo.rotate(180)]
    assert_pillows(decode, encode(photo, "GIF", save_all=True, append_images=frames))


def test_transparent_pixels_of_a_gif_are_black(decode, photo):
    image = photo.quantize(64)
    ours = decode(encode(image, "GIF", transparency=3)).numpy()
    hidden = np.array(image) == 3
    assert hidden.any()
    np.testing.assert_array_equal(ours[hidden], 0)
    np.testing.assert_array_equal(ours[~hidden], np.array(image.convert("RGB"))[~hidden])


def test_exif_orientation_is_ignored(decode, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    encoded = encode(photo, "JPEG", exif=exif)
    assert decode(encoded).shape == (41, 61, 3)
    assert_pillows(decode, encoded)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp(decode, photo, see_through, alpha, lossless):
    image = see_through if alpha else photo
    assert_pillows(decode, encode(image, "WEBP", lossless=lossless, exact=True))


def test_webp_animations(decode, photo, see_through):
    frames = [see_through.rotate(90)]
    options = {"save_all": True, "append_images": frames, "lossless": True, "exact": True}
    assert_pillows(decode, encode(see_through, "WEBP", **options))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Animation"):
        decode(encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]))


def damaged(photo):
    yield "empty", b""
    yield "one byte", b"B"
    yield "text", b"no image at all, but many letters"
    yield "JPEG's first bytes", b"\xff\xd8\xff"
    yield "JPEG's first bytes and junk", b"\xff\xd8\xff" + b"a" * 100
    yield "BMP's first bytes", b"BM"
    yield "BMP's first bytes and junk", b"BM" + b"a" * 60
    yield "WebP's first bytes", b"RIFF\x00\x00\x00\x00WEBP"
    yield "TIFF", encode(photo, "TIFF")
    for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
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
