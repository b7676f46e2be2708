"""mmsegmentation's test pipeline, which resizes with OpenCV: no pixel differs from cv2."""

import numpy as np
import pytest

from keras_poolformer.images import mmseg
from keras_poolformer.images.segmentation import segmentation_transform
from tests.helpers import error_line

cv2 = pytest.importorskip("cv2", exc_type=ImportError)  # also without libGL

# (width, height): landscape and portrait, larger and smaller than 512, beyond 2048 after
# resizing, exactly halved, already aligned, and single pixels.
SIZES = [
    (640, 480), (480, 640), (683, 512), (512, 683), (512, 512), (1024, 1024), (2048, 1024),
    (2048, 512), (2049, 511), (3000, 500), (500, 3000), (1000, 999), (333, 500), (500, 333),
    (97, 61), (61, 97), (31, 33), (32, 32), (33, 31), (1, 1), (2, 3), (1, 60), (60, 1), (7, 5),
    (256, 256), (257, 255), (1272, 603), (360, 360), (696, 520), (1100, 700), (1365, 2048),
    (900, 13), (13, 900), (225, 224),
]  # fmt: skip


def as_mmsegmentation(pixels, short=512, long=2048):
    """`Resize(scale=(2048, 512), keep_ratio=True)` and `ResizeToMultiple(size_divisor=32)`."""
    height, width = pixels.shape[:2]
    factor = min(long / max(height, width), short / min(height, width))
    size = (int(width * float(factor) + 0.5), int(height * float(factor) + 0.5))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    size = tuple(side if side % 32 == 0 else (side // 32 + 1) * 32 for side in size)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


@pytest.fixture(scope="module")
def images(photographs_of):
    return [np.asarray(photo) for photo in photographs_of(SIZES)]


def test_pixels_are_opencvs(images):
    transform = segmentation_transform()
    for image in images:
        assert np.array_equal(transform.pixels(image), as_mmsegmentation(image)), image.shape


def test_any_size_to_any_other():
    random = np.random.default_rng(0)
    for _ in range(100):
        width, height, new_width, new_height = (int(side) for side in random.integers(1, 200, 4))
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(mmseg.resize(image, new_width, new_height), expected)


def test_a_pair_is_the_size_of_the_result(images):
    transform = segmentation_transform((64, 96))
    assert transform.output_shape == (64, 96)
    for image in images:
        expected = cv2.resize(image, (96, 64), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(transform.pixels(image), expected)
    assert transform.pixels(images).shape == (len(images), 64, 96, 3)


@pytest.mark.parametrize("size", [512, (64, 96)])
def test_the_graph_gives_the_same_pixels(size, images):
    tf = pytest.importorskip("tensorflow")
    from keras_poolformer.images import graph

    transform = segmentation_transform(size)
    signature = [tf.TensorSpec((None, None, 3), tf.uint8)]
    pixels = tf.function(lambda x: graph.pixels(transform, x), input_signature=signature)
    for image in images[::3]:
        assert np.array_equal(pixels(image), transform.pixels(image)), image.shape
    twice = tf.function(transform.tf)(np.stack([images[0], images[0]]))
    assert np.array_equal(twice, transform([images[0], images[0]]))


def test_values_are_pytorchs(images):
    """mmsegmentation's SegDataPreProcessor subtracts and divides in float32."""
    torch = pytest.importorskip("torch")
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    transform = segmentation_transform()
    expected = (torch.from_numpy(as_mmsegmentation(images[0])).float() - mean) / std
    assert np.array_equal(transform(images[0]), expected.numpy())


def test_it_comes_back_from_its_record():
    transform = segmentation_transform(256)
    assert type(transform).from_dict(transform.to_dict()) == transform
    assert transform.output_shape is None  # it depends on the image


@pytest.mark.parametrize(
    "options", [{"crop_pct": 0.9}, {"interpolation": "bicubic"}, {"do_center_crop": True}], ids=str
)
def test_options_of_other_pipelines_are_refused(options):
    line = error_line(segmentation_transform().replace, **options)
    assert "`crop_mode`='mmseg' needs" in line
