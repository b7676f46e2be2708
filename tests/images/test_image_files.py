"""Reading pictures: every kind of file, and everything that is none."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_poolformer.images.files import EncodedImage
from keras_poolformer.images.transform import ImageTransform, load_image
from keras_poolformer.support.errors import ImageError, InputError
from tests.helpers import posix


@pytest.fixture(scope="module")
def photo():
    """A smooth picture with some noise: every format keeps or damages something of it."""
    y, x = np.mgrid[:61, :97]
    colours = np.stack([x * 2, y * 4, 255 - x - y], axis=-1)
    noise = np.random.default_rng(0).integers(0, 12, colours.shape)
    return Image.fromarray(np.clip(colours + noise, 0, 255).astype(np.uint8))


def saved_formats(photo, folder):
    """Writes the photograph in every common kind of file; yields the paths."""
    rgba = photo.copy()
    rgba.putalpha(photo.convert("L"))
    palette = photo.quantize(32)
    images = {
        "grey.png": (photo.convert("L"), {}),
        "grey.jpg": (photo.convert("L"), {}),
        "grey_alpha.png": (rgba.convert("LA"), {}),
        "palette.png": (palette, {}),
        "palette_transparent.png": (palette, {"transparency": 3}),
        "palette_half_transparent.png": (palette, {"transparency": bytes(range(0, 256, 8))}),
        "palette.gif": (palette, {"transparency": 5}),
        "rgba.png": (rgba, {}),
        "rgba.webp": (rgba, {"lossless": True}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "cmyk.tif": (photo.convert("CMYK"), {}),
        "one_bit.png": (photo.convert("1"), {}),
        "float.tif": (photo.convert("L").convert("F"), {}),
        "thirty_two_bits.tif": (photo.convert("I"), {}),
        "bitmap.bmp": (photo, {}),
        "progressive.jpg": (photo, {"progressive": True}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
        yield folder / name


def test_every_kind_of_file_is_as_its_rgb_conversion(photo, tmp_path):
    transform = ImageTransform(size=64)
    for path in saved_formats(photo, tmp_path):
        with Image.open(path) as image, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Palette images with Transparency")
            rgb = ImageOps.exif_transpose(image).convert("RGB")
        np.testing.assert_array_equal(np.array(load_image(path)), np.array(rgb), path.name)
        encoded = EncodedImage(path.read_bytes(), "example 1")
        np.testing.assert_array_equal(np.array(load_image(encoded)), np.array(rgb), path.name)
        expected = transform(rgb)
        np.testing.assert_array_equal(transform(path), expected, path.name)
        np.testing.assert_array_equal(transform(str(path)), expected, path.name)
        with Image.open(path) as image:
            np.testing.assert_array_equal(transform(image), expected, path.name)


def test_exif_orientation(photo, tmp_path):
    undo = {  # how a camera stores the upright picture, for each orientation it notes
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    for orientation, operation in undo.items():
        stored = photo if operation is None else photo.transpose(operation)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        stored.save(path, exif=exif)
        np.testing.assert_array_equal(np.array(load_image(path)), np.array(photo), path.name)


def test_transparency_is_dropped_and_deep_grey_keeps_its_high_byte(tmp_path):
    rgba = np.uint8([[[10, 20, 30, 0], [40, 50, 60, 255]]])
    np.testing.assert_array_equal(np.array(load_image(rgba)), rgba[:, :, :3])
    Image.fromarray(np.uint16([[7, 255, 256, 65535]])).save(tmp_path / "deep.png")
    values = np.array(load_image(tmp_path / "deep.png"))[0, :, 0]
    np.testing.assert_array_equal(values, [0, 0, 1, 255])


def test_an_image_of_pillow_stays_as_it_is(photo):
    palette = photo.quantize(32)
    palette.info["transparency"] = bytes(range(32))
    before = (palette.tobytes(), dict(palette.info), palette.mode)
    load_image(palette)
    assert (palette.tobytes(), palette.info, palette.mode) == before


def test_values_that_nobody_can_scale_are_refused(tmp_path):
    for values in (np.float32([[0, 255.5]]), np.float32([[-0.1, 1]]), np.int32([[0, 40_000]])):
        Image.fromarray(values).save(tmp_path / "wild.tif")
        with pytest.raises(ImageError, match=r"wild.tif.*must be 0 to 255.*8 or 16 bits"):
            load_image(tmp_path / "wild.tif")


@posix
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(ImageError, match="not a regular file"):
            load_image(path)


def test_the_first_frame_of_an_animation(photo, tmp_path):
    frames = [photo, ImageOps.invert(photo)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(np.array(load_image(tmp_path / "a.webp")), np.array(photo))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.array([["a"]]),
        None,
        7,
        b"photo.jpg",
        [[np.zeros((4, 4, 3), np.uint8)]],
    ],
    ids=repr,
)
def test_wrong_images_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        ImageTransform()(wrong)
    assert "\n" not in str(caught.value)


def assert_refused_or_read(path):
    try:
        assert load_image(path).mode == "RGB"
    except InputError as error:
        message = str(error)
        assert path.name in message
        assert "\n" not in message
        return True
    return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_damaged_files(photo, tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.resize((31, 23)).save(whole, **({"exif": exif} if suffix in ("jpg", "png") else {}))
    data = whole.read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    refused = 0
    for length in range(0, len(data) - 1, max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        refused += assert_refused_or_read(path)
    assert refused > 30
    random = np.random.default_rng(0)
    for _ in range(200):
        flipped = bytearray(data)
        for position in random.integers(0, len(data), random.integers(1, 8)):
            flipped[position] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(flipped)
        assert_refused_or_read(path)


def test_damaged_files_in_memory_are_named(photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    for damaged in (b"", b"no picture", content[: len(content) // 2], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(InputError, match=r"^example 1: ") as raised:
            load_image(EncodedImage(damaged, "example 1"))
        assert "\n" not in str(raised.value)


def test_what_is_no_image(tmp_path):
    (tmp_path / "text.jpg").write_text("not\na picture\n", encoding="utf-8", newline="\n")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "two\nlines.png").write_bytes(b"nonsense")
    (tmp_path / "drawing.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
        encoding="utf-8",
        newline="\n",
    )
    names = ["text.jpg", "empty.png", "two\nlines.png", "drawing.eps", "missing.png", ".", "a\0b"]
    for name in names:
        with pytest.raises(InputError) as caught:
            ImageTransform()(f"{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert ("convert it to PNG" in str(caught.value)) == (name == "drawing.eps")
    closed = Image.new("RGB", (4, 4))
    closed.close()
    with pytest.raises(InputError):
        ImageTransform()(closed)


def png_with_size(width, height):
    """A small PNG file whose header claims any size."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_memory_is_bounded_by_the_header(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_with_size(20000, 20000))
    with pytest.raises(InputError, match=r"400000000.*178956970"):
        load_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(InputError, match=r"20000 x 20000 is 400,000,000 .*178,956,970"):
        load_image(path)
    wide = np.broadcast_to(np.uint8(0), (20000, 20000))
    with pytest.raises(InputError, match=r"400,000,000"):
        load_image(wide)
