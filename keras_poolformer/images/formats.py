"""Files that count as images: those that Pillow can decode to pixels."""

import os
from pathlib import Path

import PIL.Image as Image

# Formats that Pillow opens but that are programs, drawings, films or containers: it would run
# Ghostscript, or reads only the header.
NOT_PIXELS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
_OPENED_AS_JPEG = frozenset({"MPO"})  # has no opener of its own
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_DRAWINGS = ((b"%PDF", "PDF"), (b"<svg", "SVG"), (b"<?xml", "XML"))


def image_suffixes() -> frozenset[str]:
    """Returns the suffixes of all formats that can be read, in lower case, with the dot.

    Formats that other packages register with Pillow are included.
    """
    formats = Image.registered_extensions()  # imports all of Pillow's plugins
    readable = (Image.OPEN.keys() | _OPENED_AS_JPEG) - NOT_PIXELS
    return frozenset(suffix for suffix, name in formats.items() if name in readable)


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file has an image's suffix, or no suffix and an image's header."""
    suffix = Path(path).suffix.lower()
    return suffix in image_suffixes() if suffix else _has_image_header(path)


def _has_image_header(path: str | os.PathLike[str]) -> bool:
    if not Path(path).is_file():  # opening a FIFO would wait for its writer
        return False
    try:
        with Image.open(path) as image:
            return image.format not in NOT_PIXELS
    except Exception:  # Pillow's plugins raise almost anything for files of other formats
        return False


def describe_unknown(head: bytes) -> str:
    """Returns why Pillow cannot open a file, and what to do.

    Args:
        head: First bytes of the file, at least 12 if it is that long.
    """
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return (
            "HEIC is not supported: convert it to JPEG, or call "
            "pillow_heif.register_heif_opener() first"
        )
    for start, name in _DRAWINGS:
        if head.startswith(start):
            return f"{name} is not made of pixels; convert it to PNG first"
    return "not an image of a known format"
