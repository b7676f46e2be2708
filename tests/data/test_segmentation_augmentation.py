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

tf = pytest.importorskip("tensorflow")
cv2 = pytest.importorskip("cv2")

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
    assert max(differing) < 1e-3
