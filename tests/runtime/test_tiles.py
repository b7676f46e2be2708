"""Large pictures in overlapping tiles: next to Keras on the whole picture."""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import export_tflite
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.runtime import TFLiteSegmenter
from keras_poolformer.runtime.tiles import average_tiles, tile_starts
from keras_poolformer.support.errors import InputError
from tests.export.segmenters import randomized
from tests.helpers import PHOTOS
from tests.segmenters import SHALLOW

SIDE = 128


@pytest.fixture(scope="module")
def model():
    return randomized(SHALLOW.replace(widths=(16, 24)))


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """{outputs: path}."""
    folder = tmp_path_factory.mktemp("tiles")
    paths = {outputs: folder / f"{outputs}.tflite" for outputs in ("logits", "labels")}
    paths["probabilities"] = folder / "probabilities.tflite"
    for outputs, path in paths.items():
        transform = segmentation_transform((SIDE, SIDE))
        export_tflite(model, path, inputs="pixels", outputs=outputs, transform=transform)
    return paths


@pytest.fixture(scope="module")
def photo():
    """A photograph of 300 x 200 pixels."""
    path = next(path for path in PHOTOS if path.name == "chelsea.jpg")
    return Image.open(path).convert("RGB").resize((300, 200))


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("short_side", "least", "stretched"), [(None, 0.965, 0.88), (2 * SIDE, 0.93, 0.78)]
)
def test_labels_are_those_of_keras_on_the_whole_picture(
    model, files, photo, short_side, least, stretched
):
    """Not exactly: a tile has statistics of its own, and sees nothing beyond its edges.

    Measured 0.977 and 0.945 of the pixels; stretched to the file's size 0.827 and 0.692.
    """
    model.transform = segmentation_transform(short_side or SIDE)
    expected = model.predict_labels(photo)
    assert len(np.unique(expected)) > 2
    segmenter = TFLiteSegmenter(files["logits"], num_workers=2)
    labels = segmenter.segment(photo, tiles=True, short_side=short_side)
    assert (labels.dtype, labels.shape) == (np.uint8, (200, 300))
    assert np.mean(labels == expected) >= least
    assert np.mean(segmenter.segment(photo) == expected) <= stretched


def test_one_tile_changes_nothing(files, photo):
    segmenter = TFLiteSegmenter(files["logits"])
    for size in ((SIDE, SIDE), (90, 90), (400, 400)):
        square = photo.resize(size)
        tiled = segmenter.segment(square, tiles=True)
        assert np.mean(tiled == segmenter.segment(square)) >= 0.9999  # measured 1: equal logits


def test_probabilities_give_the_labels_of_logits(files, photo):
    tiled = [
        TFLiteSegmenter(files[outputs]).segment(photo, tiles=True)
        for outputs in ("logits", "probabilities")
    ]
    assert np.mean(tiled[0] == tiled[1]) >= 0.9999


def test_what_has_no_tiles(files, photo):
    with pytest.raises(InputError, match=r"averaged where `tiles` overlap\. Received: labels"):
        TFLiteSegmenter(files["labels"]).segment(photo, tiles=True)
    with pytest.raises(InputError, match=r"`tiles`=True\. Received: short_side=256"):
        TFLiteSegmenter(files["logits"]).segment(photo, short_side=256)
    with pytest.raises(InputError, match=r"`size` must be .*Received: -1"):
        TFLiteSegmenter(files["logits"]).segment(photo, tiles=True, short_side=-1)


def block_means(pixels):
    """Means of 4 x 4 pixels: a network without norms, which sees no surroundings."""
    count, height, width, channels = pixels.shape
    blocks = pixels.reshape(count, height // 4, 4, width // 4, 4, channels)
    return blocks.mean((2, 4)).astype(np.float32)


@pytest.mark.parametrize("height", [32, 64, 96, 160, 512])
@pytest.mark.parametrize("tile", [(32, 32), (64, 128), (160, 96)])
def test_tiles_come_back_to_their_places(tile, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, 224, 3)).astype(np.uint8)
    output = (tile[0] // 4, tile[1] // 4, 3)
    averaged = average_tiles(block_means, pixels, tile, output)
    np.testing.assert_allclose(averaged, block_means(pixels[None])[0], rtol=1e-6)


def test_weights_fall_toward_the_edges():
    """The first tile returns 0, the second 1, as their first pixels say."""
    pixels = np.zeros((64, 96, 1), np.uint8)
    pixels[:, 32:] = 1

    def first_pixel(tiles):
        return np.broadcast_to(tiles[:, :1, :1].astype(np.float32), (len(tiles), 16, 16, 1))

    averaged = average_tiles(first_pixel, pixels, (64, 64), (16, 16, 1))[..., 0]
    overlap = averaged[0, 8:16]
    assert set(averaged[0, :8]) == {0.0} and set(averaged[0, 16:]) == {1.0}
    np.testing.assert_allclose(overlap, (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(averaged, np.tile(averaged[:1], (16, 1)))


@pytest.mark.parametrize("side", [32, 64, 96, 256, 512])
def test_tiles_overlap_by_a_quarter(side):
    for length in range(side, 3 * side, 32):
        starts = tile_starts(length, side)
        assert starts[0] == 0 and starts[-1] + side == length
        steps = np.diff(starts)
        assert not (np.array(starts) % 32).any()
        assert (steps > 0).all() and (steps <= max(32, 0.75 * side)).all()
