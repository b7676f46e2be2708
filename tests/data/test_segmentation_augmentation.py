"""Paired augmentation: each step next to mmsegmentation's formulas, done with OpenCV and NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from keras_poolformer.data.augmentation import photometric
from keras_poolformer.data.augmentation.segmentation import (
    CROP_TRIES,
    SegmentationAugmentation,
    augment_with_mask,
)
from tests.helpers import error_line

tf = pytest.importorskip("tensorflow")
cv2 = pytest.importorskip("cv2", exc_type=ImportError)  # also without libGL

SIZE = 48
OPTIONS = SegmentationAugmentation(size=SIZE, resize=40)
PLAIN = replace(OPTIONS, flip=0.0, photometric=False)
SIDES = [(70, 90), (40, 40), (33, 200), (300, 21), (64, 48), (1, 5), (96, 128)]  # (H, W)


@pytest.fixture(scope="module")
def pairs(photographs_of):
    """Photographs with masks of rectangles, one of which has no class."""
    random = np.random.default_rng(0)
    found = []
    for (height, width), photo in zip(SIDES, photographs_of([s[::-1] for s in SIDES]), strict=True):
        mask = np.zeros((height, width), np.int32)
        for label in (1, 2, 7, 255, 3):
            top, left = random.integers(0, height), random.integers(0, width)
            mask[top : top + height // 2 + 1, left : left + width // 2 + 1] = label
        found.append((np.asarray(photo), mask))
    return found


@pytest.fixture(scope="module")
def augmented():
    """augmented(options, pixels, mask, seed): what a graph computes, as NumPy arrays."""
    graphs = {}

    def augmented(options, pixels, mask, seed):
        if options not in graphs:
            graphs[options] = tf.function(
                lambda *arguments: augment_with_mask(options, *arguments),
                input_signature=[
                    tf.TensorSpec((None, None, 3), tf.uint8),
                    tf.TensorSpec((None, None), tf.int32),
                    tf.TensorSpec((2,), tf.int64),
                ],
            )
        return tuple(part.numpy() for part in graphs[options](pixels, mask, seed))

    return augmented


def draws_of(seed):
    """The numbers that a seed stands for, in the order in which mmsegmentation draws them."""
    count = 3 + 2 * (CROP_TRIES + 1) + photometric.DISTORTION_DRAWS
    return tf.random.stateless_uniform((count,), seed, dtype=tf.float64, alg="philox").numpy()


def as_mmsegmentation(options, pixels, mask, seed):
    """RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion, SegDataPreProcessor."""
    draws = draws_of(seed)
    (ratio, across, down), corners, colors = np.split(draws, (3, 3 + 2 * (CROP_TRIES + 1)))
    low, high = options.ratio_range
    ratio = ratio * (high - low) + low
    short = options.resize or options.size
    scale = int(4 * short * ratio), int(short * ratio)
    height, width = mask.shape
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    size = max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    box = cropped(options, mask, corners.reshape(-1, 2))
    pixels, mask = pixels[box], mask[box]
    for is_flipped, code in ((across < options.flip, 1), (down < options.vertical_flip, 0)):
        if is_flipped:
            pixels, mask = cv2.flip(pixels, code), cv2.flip(mask, code)
    if options.photometric:
        pixels = distorted(pixels, colors)
    image = (pixels.astype(np.float32) - 255 * np.float32(options.mean)) / (
        255 * np.float32(options.std)
    )
    below, right = (options.size - side for side in mask.shape)
    image = np.pad(image, ((0, below), (0, right), (0, 0)))
    return image, np.pad(mask, ((0, below), (0, right)), constant_values=255)


def cropped(options, mask, corners):
    for number, (down, right) in enumerate(corners):
        space = [max(side - options.size, 0) for side in mask.shape]
        top, left = int(down * (space[0] + 1)), int(right * (space[1] + 1))
        box = slice(top, top + options.size), slice(left, left + options.size)
        labels, counts = np.unique(mask[box], return_counts=True)
        counts = counts[labels != 255]
        if len(counts) > 1 and counts.max() / counts.sum() < options.cat_max_ratio:
            break
        if options.cat_max_ratio == 1 or number == CROP_TRIES:
            break
    return box


def converted(pixels, alpha=1.0, beta=0.0):
    return np.clip(pixels.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


def distorted(pixels, draws):
    bright, contrasted, saturated, turned = draws[:4] >= 0.5
    last = draws[8] < 0.5
    amounts = draws[4:8]
    pixels = pixels[..., ::-1]  # mmsegmentation has BGR
    if bright:
        pixels = converted(pixels, beta=float(-32 + 64 * amounts[0]))
    if contrasted and not last:
        pixels = converted(pixels, float(0.5 + amounts[1]))
    if saturated:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
        hsv[..., 1] = converted(hsv[..., 1], float(0.5 + amounts[2]))
        pixels = hsv_to_bgr(hsv)
    if turned:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(np.floor(36 * amounts[3])) - 18) % 180
        pixels = hsv_to_bgr(hsv)
    if contrasted and last:
        pixels = converted(pixels, float(0.5 + amounts[1]))
    return pixels[..., ::-1]


def hsv_to_bgr(hsv):
    """With columns to spare: OpenCV rounds the last few of a row otherwise than all others."""
    padded = np.pad(hsv, ((0, 0), (0, 64), (0, 0)))
    return cv2.cvtColor(padded, cv2.COLOR_HSV2BGR)[:, :-64]


@pytest.mark.first(1)
@pytest.mark.parametrize("options", [PLAIN, replace(PLAIN, flip=0.5, vertical_flip=0.5)])
def test_resize_crop_and_flip_are_opencvs(options, pairs, augmented):
    for number, (pixels, mask) in enumerate(pairs * 3):
        image, labels = augmented(options, pixels, mask, (7, number))
        expected, expected_labels = as_mmsegmentation(options, pixels, mask, (7, number))
        assert np.array_equal(labels, expected_labels)
        np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6)


def test_colors_are_mmsegmentations(pairs, augmented):
    differing = []
    for number, (pixels, mask) in enumerate(pairs * 3):
        image, labels = augmented(OPTIONS, pixels, mask, (3, number))
        expected, expected_labels = as_mmsegmentation(OPTIONS, pixels, mask, (3, number))
        assert np.array_equal(labels, expected_labels)
        level = 1 / (255 * min(OPTIONS.std))
        np.testing.assert_allclose(image, expected, rtol=0, atol=3 * level)
        differing.append(np.mean(np.abs(image - expected) > 1e-5))
    assert max(differing) < 1e-3  # measured: 0, on other processors OpenCV may round otherwise


def test_hsv_of_every_color_is_opencvs():
    levels = np.arange(0, 256, 5, np.uint8)
    pixels = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(52, -1, 3)
    hsv = photometric.rgb_to_hsv(tf.constant(pixels))
    assert np.array_equal(np.stack(hsv, axis=-1), cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV))


def test_rgb_of_hsv_is_opencvs():
    hsv = np.random.default_rng(0).integers(0, (180, 256, 256), (500, 400, 3)).astype(np.uint8)
    ours = photometric.hsv_to_rgb(*np.moveaxis(hsv.astype(np.int32), -1, 0)).numpy()
    theirs = hsv_to_bgr(hsv)[..., ::-1]
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1 and np.mean(difference > 0) < 1.5e-4  # measured: 5e-5


def test_the_same_seed_gives_the_same_bytes(pairs, augmented):
    pixels, mask = pairs[0]
    image, labels = augmented(OPTIONS, pixels, mask, (5, 6))
    again = augment_with_mask(OPTIONS, pixels, tf.constant(mask), tf.constant((5, 6), tf.int64))
    assert np.array_equal(again[0], image) and np.array_equal(again[1], labels)
    assert not np.array_equal(augmented(OPTIONS, pixels, mask, (5, 7))[1], labels)
    assert (image.dtype, labels.dtype) == (np.float32, np.int32)


def test_a_class_that_fills_every_crop_is_kept(augmented):
    """After ten crops the eleventh is taken; pixels without a class do not count."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    seed = (0, 3)
    for mask in (np.full((64, 64), 2), np.full((64, 64), 255)):
        _, labels = augmented(PLAIN, pixels, mask.astype(np.int32), seed)
        assert np.array_equal(labels, as_mmsegmentation(PLAIN, pixels, mask, seed)[1])
    mask[:, 40:] = np.arange(24) // 12  # half and half of what has a class
    options = replace(PLAIN, ratio_range=(1.2, 1.2), resize=64)
    last = as_mmsegmentation(replace(options, cat_max_ratio=0.0), pixels, mask, seed)[1]
    _, labels = augmented(options, pixels, mask.astype(np.int32), seed)
    assert np.array_equal(labels, as_mmsegmentation(options, pixels, mask, seed)[1])
    assert {0, 1} <= set(np.unique(labels)) and not np.array_equal(labels, last)


def test_every_operation_is_drawn_as_often_as_it_should_be(augmented):
    """A picture whose left and right, top and bottom differ."""
    pixels = np.zeros((48, 48, 3), np.uint8)
    mask = np.array([[0, 1], [2, 3]], np.int32).repeat(24, 0).repeat(24, 1)
    options = replace(PLAIN, ratio_range=(1.2, 1.2), flip=0.5, vertical_flip=0.25)
    corners = np.array([augmented(options, pixels, mask, (9, n))[1][0, 0] for n in range(400)])
    assert abs(np.mean(corners % 2) - 0.5) < 0.075  # three standard deviations
    assert abs(np.mean(corners // 2) - 0.25) < 0.065


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ({"size": 0}, "`size` must be a whole number"),
        ({"size": (48, 64)}, "`size`"),
        ({"resize": 0}, "`resize` must be None or a whole number of pixels from 1. Received: 0"),
        ({"resize": True}, "`resize`"),
        ({"ratio_range": (2.0, 0.5)}, "`ratio_range` must be two positive numbers"),
        ({"ratio_range": 1.0}, "`ratio_range`"),
        ({"cat_max_ratio": 1.5}, "`cat_max_ratio` must be a probability, 0 to 1. Received: 1.5"),
        ({"vertical_flip": "x"}, "`vertical_flip` must be a probability"),
        ({"photometric": 1}, "`photometric` must be True or False. Received: 1"),
        ({"std": 0.0}, "`std`"),
    ],
)
def test_options_that_are_wrong(option, line):
    assert line in error_line(lambda: SegmentationAugmentation(**option))
