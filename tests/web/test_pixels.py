"""The network's input, bit by bit: Pillow's decoders and resize compared with the browser's."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.images.transform import INTERPOLATIONS
from tests.helpers import DEMO
from tests.images.image_kinds import STORED, image_kinds, unreadable_kinds

# (width, height): small, thin, odd margins, and where Pillow changes the order of its passes.
SIZES = [(1, 1), (2, 3), (50, 1), (37, 400), (333, 217), (71, 71), (100, 99), (99, 101),
         (1, 300), (100, 223), (100, 199), (100, 200), (100, 201)]  # fmt: skip
TRANSFORMED = """async ([options, image, normalizes]) => {
    const {ImageTransform} = await import("/src/image_transform.js");
    const transform = new ImageTransform(options);
    const data = Uint8Array.from(atob(image.data), (letter) => letter.charCodeAt(0));
    const pixels = transform.pixels({...image, data});
    const values = normalizes ? transform.normalize(pixels) : pixels.data;
    let text = "";
    for (const byte of new Uint8Array(values.buffer)) text += String.fromCharCode(byte);
    return [pixels.height, pixels.width, btoa(text)];
}"""


@pytest.fixture(scope="module")
def in_browser(browser, site):
    """transform(transform, image, normalizes) as the page does it."""
    page = browser.new_page()
    page.goto(f"{site}icon.svg")

    def run(transform, image, normalizes=False):
        data = base64.b64encode(image.tobytes()).decode()
        described = {"data": data, "width": image.width, "height": image.height}
        arguments = [transform.to_dict(), described, normalizes]
        height, width, values = page.evaluate(TRANSFORMED, arguments)
        dtype = np.float32 if normalizes else np.uint8
        return np.frombuffer(base64.b64decode(values), dtype).reshape(height, width, 3)

    yield run
    page.close()


@pytest.fixture(scope="module")
def photo(photos):
    """A real photograph with fine hair."""
    return Image.open(next(path for path in photos if path.name == "chelsea.jpg")).convert("RGB")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_transform_is_bit_equal(in_browser, photo, interpolation):
    transform = ImageTransform(64, 0.9, interpolation=interpolation)
    for size in SIZES:
        image = photo.resize(size)
        assert np.array_equal(in_browser(transform, image), transform.pixels(image)), size


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crop_pct": 0.95},
        {"size": 225, "crop_pct": None},
        {"do_resize": False},
        {"do_center_crop": False, "size": 50},
        {"crop_size": 300, "crop_mode": "hf"},
        {"crop_size": 301},
        {"size": (60, 90), "crop_mode": "hf"},
        {"size": (64, 64), "crop_pct": None, "crop_mode": "hf"},
        {"do_rescale": False},
        {"do_normalize": False, "rescale_factor": 1 / 127},
        {"crop_mode": "hf", "mean": 0.5, "std": 0.25},
    ],
    ids=str,
)
def test_options_are_bit_equal(in_browser, photo, options):
    transform = ImageTransform(**options)
    for size in ((333, 217), (217, 334)):
        image = photo.resize(size)
        assert np.array_equal(in_browser(transform, image), transform.pixels(image))
        assert np.array_equal(in_browser(transform, image, True), transform(image))


@pytest.mark.parametrize("size", [64, 512, (64, 96), (217, 40)])
def test_the_transform_of_segmenters_is_bit_equal(in_browser, photo, size):
    transform = segmentation_transform(size)
    for width, height in [*SIZES, (192, 128), (333, 217), (217, 334), (1000, 20)]:
        image = photo.resize((width, height))
        assert np.array_equal(in_browser(transform, image), transform.pixels(image)), image.size
    assert np.array_equal(in_browser(transform, image, True), transform(image))


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def translucent(image):
    """The image, more and more opaque from left to right."""
    opacity = np.tile(np.arange(image.width) % 256, (image.height, 1)).astype(np.uint8)
    result = image.copy()
    result.putalpha(Image.fromarray(opacity))
    return result


def turned(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


FILES = {
    "photograph.jpg": lambda image: encoded(image, "JPEG", subsampling=2),
    "odd.jpg": lambda image: encoded(image.crop((0, 0, 331, 217)), "JPEG", subsampling=2),
    "progressive.jpg": lambda image: encoded(image, "JPEG", progressive=True),
    "grey.jpg": lambda image: encoded(image.convert("L"), "JPEG"),
    "cmyk.jpg": lambda image: encoded(image.convert("CMYK"), "JPEG"),
    "turned.jpg": lambda image: encoded(image, "JPEG", exif=turned(6)),
    "mirrored.jpg": lambda image: encoded(image, "JPEG", exif=turned(5)),
    "palette.png": lambda image: encoded(image.quantize(64), "PNG"),
    "translucent.png": lambda image: encoded(translucent(image), "PNG"),
    "translucent.webp": lambda image: encoded(
        translucent(image), "WEBP", lossless=True, exact=True
    ),
    "lossy.webp": lambda image: encoded(image, "WEBP"),
    "still.gif": lambda image: encoded(image, "GIF"),
}


def test_files_are_decoded_as_pillow_does(page, photo, tmp_path):
    transform, differing = ImageTransform.from_preset(DEMO), []
    for name, make in FILES.items():
        path = tmp_path / name
        path.write_bytes(make(photo))
        page.classify(path)
        _, _, values = page.pixels()
        if values != transform.pixels(path).ravel().tolist():
            differing.append(name)
    assert differing == []


DECODED = """async ([name, content]) => {
    const {decode} = await import("/src/decode.js");
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const image = await decode(new File([bytes], name)).catch((error) => ({error: error.message}));
    if (image.error) return image;
    let text = "";
    for (const byte of image.data) text += String.fromCharCode(byte);
    return {...image, data: btoa(text)};
}"""


def decoded_by_browser(page, name, content):
    """The pixels of the page's decoder, or None where it rejects the file in one line."""
    result = page.evaluate(DECODED, [name, base64.b64encode(content).decode()])
    if "error" in result:
        assert name in result["error"] and "cannot be read as an image" in result["error"]
        return None
    pixels = np.frombuffer(base64.b64decode(result["data"]), np.uint8)
    return pixels.reshape(result["height"], result["width"], 3)


# What docs/images.md says of browsers.
REFUSED = (".tif", ".jp2", ".pgm", ".ppm", ".pcx", ".sgi", ".tga", ".qoi")
NOT_TURNED = {f"exif_{number}.webp": number for number in range(2, 9)}
NOT_TURNED |= {"xmp.jpg": 6, "exif_late.png": 6}
BLACK_WHERE_INVISIBLE = ("palette_transparent.gif",)


def test_every_kind_of_file_is_read_as_everywhere(browser, site):
    """The same files as in tests/images/test_one_reading.py."""
    page = browser.new_page()
    page.goto(f"{site}icon.svg")
    differing = []
    for name, (content, expected) in image_kinds().items():
        received = decoded_by_browser(page, name, content)
        if name.endswith(REFUSED):
            assert received is None, name
            continue
        if name in NOT_TURNED:
            stored = Image.fromarray(expected).transpose(STORED[NOT_TURNED[name]])
            expected = np.array(stored)
        if name in BLACK_WHERE_INVISIBLE:
            expected = np.where(received.any(axis=2, keepdims=True), expected, 0)
        if not np.array_equal(received, expected):
            differing.append(name)
    page.close()
    assert differing == []


def test_what_is_not_an_image_is_refused(browser, site):
    page = browser.new_page()
    page.goto(f"{site}icon.svg")
    for name, content in unreadable_kinds().items():
        assert decoded_by_browser(page, name, content) is None
    page.close()
