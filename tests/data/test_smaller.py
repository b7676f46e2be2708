"""Records of resized images, against Pillow's own resizing of the same files."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_poolformer.support.errors import InputError
from tests.helpers import ASSETS

pytest.importorskip("tensorflow")
preparing = pytest.importorskip("keras_poolformer.data.splits.preparing")
opening = pytest.importorskip("keras_poolformer.data.splits.opening")

PHOTOS = sorted((ASSETS / "photos").glob("*.jpg"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of one class, one of them turned by its EXIF data, and a small one."""
    root = tmp_path_factory.mktemp("photos")
    (root / "a").mkdir()
    for photo in PHOTOS[:3]:
        (root / "a" / photo.name).write_bytes(photo.read_bytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(PHOTOS[3]).convert("RGB").resize((401, 300))
    image.save(root / "a" / "turned.jpg", exif=exif, quality=95)
    image.resize((100, 80)).save(root / "a" / "small.jpg", exif=exif)
    return root


def stored(path, field="image"):
    """{key: content of a file}."""
    split, _ = opening.open_splits(path)
    examples = split.stream().map(split.load).as_numpy_iterator()
    return {int(example["key"]): example[field] for example in examples}


@pytest.fixture(scope="module")
def originals(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "records"
    preparing.prepare(folder, path, verbose=False)
    return stored(path)


@pytest.mark.parametrize(
    ("side", "contained"),
    [
        ({"max_side": 120}, lambda image: ImageOps.contain(image, (120, 120)).size),
        ({"short_side": 96}, lambda image: ImageOps.cover(image, (96, 96)).size),
    ],
    ids=["max", "short"],
)
def test_images_are_pillows(folder, originals, tmp_path, side, contained):
    written = preparing.prepare(folder, tmp_path / "r", verbose=False, quality=95, **side)
    assert written.to_json() == (tmp_path / "r/dataset.json").read_text(encoding="utf-8")
    fields = json.loads(written.to_json())["resized"]
    assert fields == {"max_side": None, "short_side": None, "quality": 95} | side
    images = stored(tmp_path / "r")
    assert images.keys() == originals.keys()
    kept = 0
    for key, content in images.items():
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(originals[key]))).convert("RGB")
        if content == originals[key]:
            kept += 1
            assert upright.size == (80, 100)
            continue
        image = Image.open(io.BytesIO(content))
        assert image.format == "JPEG" and image.size == contained(upright)
        assert not image.getexif()
        expected = upright.resize(image.size, Image.Resampling.BICUBIC)
        difference = np.abs(np.asarray(image).astype(int) - np.asarray(expected))
        assert difference.mean() < 5  # measured: at most 3.3, which the compression costs
    assert kept == 1


def test_masks_keep_their_labels(tmp_path):
    images, masks = tmp_path / "data/images", tmp_path / "data/masks"
    images.mkdir(parents=True)
    masks.mkdir()
    labels = np.random.default_rng(0).integers(0, 3, (60, 90)).astype(np.uint8).repeat(4, 0)
    labels[:9] = 255
    Image.open(PHOTOS[0]).convert("RGB").resize((90, 240)).save(images / "1.jpg")
    mask = Image.fromarray(labels)
    mask.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype(np.uint8).tobytes())
    mask.save(masks / "1.png")
    (tmp_path / "data/labels.txt").write_text("sky\nsea\nboat\n", encoding="utf-8", newline="\n")
    preparing.prepare(tmp_path / "data", tmp_path / "r", verbose=False, max_side=120)
    split, _ = opening.open_masked_splits(tmp_path / "r")
    (example,) = split.stream().map(split.load).as_numpy_iterator()
    assert Image.open(io.BytesIO(example["image"])).size == (45, 120)
    received = np.asarray(Image.open(io.BytesIO(example["mask"])))
    expected = Image.fromarray(labels).resize((45, 120), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("side", [{}, {"max_side": 120}], ids=["kept", "max"])
def test_images_that_cannot_be_read_are_named_with_what_the_decoder_says(tmp_path, side):
    (tmp_path / "data" / "a").mkdir(parents=True)
    content = PHOTOS[0].read_bytes()
    (tmp_path / "data" / "a" / "good.jpg").write_bytes(content)
    (tmp_path / "data" / "a" / "torn.jpg").write_bytes(content[:3000])
    with pytest.raises(InputError) as raised:
        preparing.prepare(tmp_path / "data", tmp_path / "r", verbose=False, **side)
    message = str(raised.value)
    assert "torn.jpg" in message and "good.jpg" not in message and "\n" not in message
    assert "(jpeg::" in message and 'File "' not in message
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_side": 9, "short_side": 9}, "one of `max_side` and `short_side` must be given"),
        ({"max_side": 0}, "`max_side` must be a whole number of pixels, 1 to 65,535. Received: 0"),
        ({"short_side": 2.5}, "`short_side` must be a whole number of pixels"),
        ({"short_side": True}, "`short_side` must be a whole number of pixels"),
        ({"short_side": 9, "quality": 101}, "`quality` must be 1 to 100. Received: 101"),
        ({"quality": 80}, "`quality` is of images that `max_side` or `short_side` makes smaller"),
    ],
    ids=str,
)
def test_options_that_are_rejected(folder, tmp_path, options, message):
    with pytest.raises(InputError) as raised:
        preparing.prepare(folder, tmp_path / "r", verbose=False, **options)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "resized",
    [1, {}, {"max_side": 1}, {"max_side": 0, "short_side": None, "quality": 9}],
    ids=str,
)
def test_descriptions_that_are_not_valid(folder, tmp_path, resized):
    preparing.prepare(folder, tmp_path / "r", verbose=False)
    file = tmp_path / "r/dataset.json"
    file.write_text(
        json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"resized": resized}),
        encoding="utf-8",
        newline="\n",
    )
    with pytest.raises(InputError, match=r"dataset.json: .*max_side"):
        opening.open_splits(tmp_path / "r")
