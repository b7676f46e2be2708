"""One small picture in every kind of image file, and the pixels that each must give.

The expected pixels are those of the arrays that were written, or what Pillow itself decodes and
turns; nothing of the package is used.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 40, 48
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]
_NOISE = np.random.default_rng(0).integers(0, 12, (HEIGHT, WIDTH, 3))
RGB = (np.stack([_X * 5, _Y * 6, 240 - _X - _Y], axis=-1) + _NOISE).clip(0, 255).astype(np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
_PHOTO = Image.fromarray(RGB)
_GREY = _PHOTO.convert("L")
_ALPHA = Image.fromarray((_X * 5).astype(np.uint8))
# How a camera stores the upright picture, for each orientation that it notes.
STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def encode(image, file_format, **options):
    """The content of a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def pillows(content):
    """Pillow's own reading of a file of 8 bits."""
    image = Image.open(io.BytesIO(content))
    image.load()
    image.info.pop("transparency", None)
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def png(levels, color_type):
    """A PNG of 16 bits a channel, which Pillow does not write in color."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = levels.shape[:2]
    rows = levels.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def grey(levels):
    """Grey levels as RGB."""
    return np.repeat(np.asarray(levels, np.uint8)[:, :, None], 3, axis=2)


def oriented(orientation, big_endian=False):
    """(the picture as stored, its EXIF data)."""
    operation = STORED[orientation]
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x0112] = orientation
    return _PHOTO if operation is None else _PHOTO.transpose(operation), exif


def with_xmp(orientation):
    """(the picture as stored, XMP that holds the orientation)."""
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'
    return oriented(orientation)[0], text.encode()


def with_exif_last(jpeg):
    """The file with its EXIF data behind all other segments in front of the pixels."""
    position, exif, others = 2, b"", b""
    while jpeg[position : position + 2] != b"\xff\xda":
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        segment = jpeg[position:end]
        exif, others = (segment, others) if segment[1] == 0xE1 else (exif, others + segment)
        position = end
    return jpeg[:2] + others + exif + jpeg[position:]


def _turned():
    """Files with EXIF: every orientation in every format that can hold it."""
    for orientation in STORED:
        stored, exif = oriented(orientation, big_endian=orientation % 2 == 0)
        for suffix, file_format, options in (
            ("png", "PNG", {}),
            ("webp", "WEBP", {"lossless": True}),
            ("tif", "TIFF", {}),
        ):
            yield (
                f"exif_{orientation}.{suffix}",
                encode(stored, file_format, exif=exif, **options),
                RGB,
            )
        content = encode(stored, "JPEG", exif=exif, quality=90)
        yield f"exif_{orientation}.jpg", content, pillows(content)
        content = with_exif_last(content)
        yield f"exif_last_{orientation}.jpg", content, pillows(content)
    stored, xmp = with_xmp(6)
    content = encode(stored, "JPEG", xmp=xmp)
    yield "xmp.jpg", content, pillows(content)
    late = encode(stored, "PNG")  # EXIF behind the pixels
    exif = oriented(6)[1].tobytes()[6:]
    part = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + part + struct.pack(">I", zlib.crc32(part))
    yield "exif_late.png", late[:-12] + chunk + late[-12:], RGB
    exif = b"Exif\0\0" + b"no EXIF data at all"
    yield "exif_corrupt.png", encode(_PHOTO, "PNG", exif=exif), RGB


def _deep():
    """Files of more than 8 bits a channel."""
    levels = DEEP[:, :, 0]
    image = Image.fromarray(levels)
    yield "grey_16.png", encode(image, "PNG"), grey(levels >> 8)
    yield "grey_16.tif", encode(image, "TIFF"), grey(levels >> 8)
    big = Image.frombytes("I;16B", (WIDTH, HEIGHT), levels.astype(">u2").tobytes())
    yield "grey_16_big_endian.tif", encode(big, "TIFF"), grey(levels >> 8)
    head = f"P5 {WIDTH} {HEIGHT} 65535\n".encode()
    yield "grey_16.pgm", head + levels.astype(">u2").tobytes(), grey(levels >> 8)
    for name, color_type, channels in (("rgb", 2, (0, 1, 2)), ("rgba", 6, (0, 1, 2, 3))):
        content = png(DEEP[:, :, channels], color_type)
        yield f"{name}_16.png", content, (DEEP[:, :, :3] >> 8).astype(np.uint8)
    yield "grey_alpha_16.png", png(DEEP[:, :, :2], 4), grey(levels >> 8)
    fractions = (levels / np.float32(65535)).astype(np.float32)
    expected = grey(np.rint(fractions * np.float32(255)))
    yield "fractions.tif", encode(Image.fromarray(fractions), "TIFF"), expected
    floats = np.asarray(_GREY, np.float32) + np.float32(0.25)
    yield "floats.tif", encode(Image.fromarray(floats), "TIFF"), grey(_GREY)
    yield "integers_32.tif", encode(_GREY.convert("I"), "TIFF"), grey(_GREY)


def _transparent():
    rgba, grey_alpha = _PHOTO.copy(), _GREY.copy()
    rgba.putalpha(_ALPHA)
    grey_alpha.putalpha(_ALPHA)
    palette = _PHOTO.quantize(32)
    colors = np.array(palette.convert("RGB"))
    yield "rgba.png", encode(rgba, "PNG"), RGB
    yield "rgba.webp", encode(rgba, "WEBP", lossless=True, exact=True), RGB
    yield "grey_alpha.png", encode(grey_alpha, "PNG"), grey(_GREY)
    yield "palette.png", encode(palette, "PNG"), colors
    yield "palette_transparent.png", encode(palette, "PNG", transparency=3), colors
    opacities = bytes(range(0, 256, 8))
    yield "palette_opacities.png", encode(palette, "PNG", transparency=opacities), colors
    yield "palette.gif", encode(palette, "GIF"), colors
    yield "palette_transparent.gif", encode(palette, "GIF", transparency=3), colors
    yield "palette.bmp", encode(palette, "BMP"), colors


def _frames():
    """Options for files of two frames; Pillow leaves traces of a format in the second one."""
    return {"save_all": True, "append_images": [ImageOps.invert(_PHOTO)]}


def _plain():
    photo = _PHOTO
    for name, image, file_format, options in (
        ("rgb.jpg", photo, "JPEG", {}),
        ("grey.jpg", _GREY, "JPEG", {}),
        ("progressive.jpg", photo, "JPEG", {"progressive": True}),
        ("suffix.jfif", photo, "JPEG", {}),
        ("no_suffix", photo, "JPEG", {}),
        ("several.mpo", photo, "MPO", _frames()),
        ("cmyk.jpg", photo.convert("CMYK"), "JPEG", {}),
        ("lossy.webp", photo, "WEBP", {}),
        ("lossy.avif", photo, "AVIF", {}),
        ("icon.ico", photo.resize((32, 32)), "ICO", {}),
        ("animated.gif", photo.quantize(32), "GIF", _frames()),
        ("cmyk.tif", photo.convert("CMYK"), "TIFF", {}),
        ("rgb.jp2", photo, "JPEG2000", {}),
    ):
        content = encode(image, file_format, **options)
        yield name, content, pillows(content)
    for name, file_format, options in (
        ("rgb.png", "PNG", {}),
        ("animated.png", "PNG", _frames()),
        ("animated.webp", "WEBP", _frames() | {"lossless": True}),
        ("pages.tif", "TIFF", _frames()),
        ("rgb.bmp", "BMP", {}),
        ("rgb.tga", "TGA", {}),
        ("rgb.ppm", "PPM", {}),
        ("rgb.pcx", "PCX", {}),
        ("rgb.sgi", "SGI", {}),
        ("rgb.qoi", "QOI", {}),
    ):
        yield name, encode(photo, file_format, **options), RGB
    bits = photo.convert("1")
    yield "one_bit.png", encode(bits, "PNG"), grey(np.asarray(bits) * np.uint8(255))
    yield "one_bit.tif", encode(bits, "TIFF"), grey(np.asarray(bits) * np.uint8(255))
    yield "grey.png", encode(_GREY, "PNG"), grey(_GREY)


def image_kinds():
    """{name of a file: (its content, uint8 (H, W, 3) as it must be read)}."""
    files = (*_turned(), *_deep(), *_transparent(), *_plain())
    return {name: (content, expected) for name, content, expected in files}


def unreadable_kinds():
    """{name of a file: its content} of files that are not images, or not whole."""
    photo, webp = encode(_PHOTO, "JPEG"), encode(_PHOTO, "WEBP")
    return {
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "empty.png": b"",
        "half.jpg": photo[: len(photo) // 2],
        "half.png": encode(_PHOTO, "PNG")[:2000],
        "half.webp": webp[: len(webp) // 2],
        "drawing.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "document.png": b"%PDF-1.7\n" + bytes(100),
        "text.tif": b"not\na picture\n",
        "integers.tif": encode(Image.fromarray(np.int32([[0, 70000]])), "TIFF"),
        "nan.tif": encode(Image.fromarray(np.float32([[0, np.nan]])), "TIFF"),
    }
