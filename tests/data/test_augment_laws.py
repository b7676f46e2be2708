"""The laws by which crops and rectangles are drawn, against timm's.

Distributions are compared by their largest distance (Kolmogorov and Smirnov): 2,000 draws of
either side stay below 0.062 in 999 of 1,000 cases if the law is the same. The seeds are fixed.
"""

import functools
import io
import random

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD

tf = pytest.importorskip("tensorflow")
augment = pytest.importorskip("keras_poolformer.data.augmentation.augment")
rectangles = pytest.importorskip("keras_poolformer.data.augmentation.rectangles")

Augmentation = augment.Augmentation
DRAWS = 2000
DISTANCE = 0.062
QUANTITIES = (  # of boxes (N, 4): top, left, height, width
    lambda box: box[:, 2] * box[:, 3],
    lambda box: box[:, 3] / box[:, 2],
    lambda box: box[:, 0],
    lambda box: box[:, 1],
    lambda box: box[:, 0] + box[:, 2],
    lambda box: box[:, 1] + box[:, 3],
)


@pytest.fixture(scope="module")
def timm_data():
    """timm.data, with what Pillow 13 lacks for it."""
    pytest.importorskip("torch")

    return pytest.importorskip("timm.data")


@pytest.fixture
def old_posterize(monkeypatch):
    """timm may posterize to no bits, which is black up to Pillow 12 and an error since."""
    pillows = ImageOps.posterize
    monkeypatch.setattr(
        ImageOps,
        "posterize",
        lambda image, bits: pillows(image, bits) if bits else image.point([0] * 768),
    )


def distance(ours, theirs):
    """The largest distance between two empirical distributions."""
    ours, theirs = np.sort(ours), np.sort(theirs)
    both = np.concatenate((ours, theirs))
    shares = [np.searchsorted(one, both, side="right") / len(one) for one in (ours, theirs)]
    return np.abs(shares[0] - shares[1]).max()


def uniform(seed=(1, 2)):
    return tf.random.stateless_uniform((DRAWS, rectangles.RECTANGLE_DRAWS), seed)


@functools.cache
def crop_boxes_of(areas, ratios):
    """(height, width, draws) -> boxes, in a graph that is traced once for all sizes."""
    return tf.function(
        lambda height, width, draws: tf.map_fn(
            lambda own: rectangles.crop_box(areas, ratios, height, width, own),
            draws,
            fn_output_signature=tf.int32,
        )
    )


def crop_boxes(options, width, height, draws):
    boxes = crop_boxes_of(options.crop_scale, options.crop_ratio)
    return boxes(tf.constant(height), tf.constant(width), draws).numpy()


@pytest.mark.first(2)
@pytest.mark.parametrize("size", [(500, 375), (32, 32), (375, 500), (300, 150)])
def test_law_of_the_crop(timm_data, size):
    width, height = size
    options = Augmentation()
    ours = crop_boxes(options, width, height, uniform())
    random.seed(0)
    get = timm_data.transforms.RandomResizedCropAndInterpolation.get_params
    image = Image.new("L", size)
    theirs = np.array(
        [get(image, options.crop_scale, options.crop_ratio) for _ in range(DRAWS)]
    )  # top, left, height, width
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] >= 1).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    for quantity in QUANTITIES:
        assert distance(quantity(ours), quantity(theirs)) < DISTANCE


@pytest.mark.parametrize("size", [(900, 100), (100, 900), (7, 99), (640, 480), (300, 300)])
def test_crop_where_no_try_fits(timm_data, size):
    ratios = (0.76, 1.3) if size != (300, 300) else (1.0, 1.0)
    options = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=ratios)
    get = timm_data.transforms.RandomResizedCropAndInterpolation.get_params
    expected = get(Image.new("L", size), options.crop_scale, options.crop_ratio)
    for box in crop_boxes(options, *size, uniform()[:20]):
        assert tuple(box) == expected


def test_law_of_the_erased_rectangle(timm_data):
    torch = pytest.importorskip("torch")
    draw = tf.function(
        lambda draws: tf.map_fn(
            lambda own: rectangles.erased_rectangle(224, own),
            draws,
            fn_output_signature=(tf.int32, tf.bool),
        )
    )
    ours, found = (values.numpy() for values in draw(uniform((3, 4))))
    assert found.all()
    random.seed(0)
    erase = timm_data.random_erasing.RandomErasing(1.0, mode="pixel", device="cpu")
    theirs = []
    for _ in range(DRAWS):
        noisy = erase(torch.zeros(1, 224, 224)).numpy()[0] != 0
        rows, columns = (np.flatnonzero(noisy.any(axis=axis)) for axis in (1, 0))
        theirs.append((rows[0], columns[0], len(rows), len(columns)))
    theirs = np.array(theirs)
    for quantity in QUANTITIES:
        assert distance(quantity(ours), quantity(theirs)) < DISTANCE


@pytest.mark.slow
def test_the_whole_recipe_has_timms_statistics(timm_data, old_posterize, rgb_photographs):
    """The mean over images of mean, deviation and roughness, against timm's own transform."""
    torch = pytest.importorskip("torch")
    transform = timm_data.create_transform(
        96, is_training=True, auto_augment="rand-m9-mstd0.5-inc1", interpolation="random",
        re_prob=0.25, re_mode="pixel", mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )  # fmt: skip
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    file = io.BytesIO()
    ImageOps.fit(rgb_photographs[0], (250, 187)).save(file, "JPEG", quality=90)
    image = Image.open(file)
    theirs = [transform(image).numpy().transpose(1, 2, 0) for _ in range(500)]
    options, encoded = Augmentation(size=96), tf.constant(file.getvalue())
    run = tf.function(lambda seed: augment.augment(options, encoded, seed))
    ours = [run(tf.constant((11, key), tf.int64)).numpy() for key in range(500)]

    def statistics(images):
        rows = [(x.mean(), x.std(), np.abs(np.diff(x, axis=1)).mean()) for x in images]
        return np.array(rows)

    ours, theirs = statistics(ours), statistics(theirs)
    for mine, timms in zip(ours.T, theirs.T, strict=True):
        assert distance(mine, timms) < 0.123  # as above, for 500 draws
