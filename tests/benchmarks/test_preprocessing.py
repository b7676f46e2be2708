"""benchmarks.preprocessing: its bilinear resize is TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import preprocessing
from keras_poolformer import ImageTransform


@pytest.mark.parametrize("size", [(64, 64), (90, 41), (700, 900)], ids=str)
def test_plain_bilinear_is_tensorflows(rgb_photographs, size):
    image = np.array(rgb_photographs[0])
    expected = tf.image.resize(image, size, "bilinear", antialias=False)
    difference = np.abs(preprocessing.bilinear(image, *size) - expected.numpy())
    assert difference.max() <= 0.504  # 0.5 by rounding to 8 bits; measured 0.5031


@pytest.mark.parametrize("size", [(640, 427), (427, 640), (451, 300)], ids=str)
def test_the_crop_is_the_transforms(photographs_of, size):
    """One row or column beside it, pixels would differ more than by the kind of resize."""
    (photo,) = photographs_of([size])
    transform = ImageTransform()
    pillows = preprocessing.antialiased_bilinear(transform, photo).astype(float)
    ours = preprocessing.plain_bilinear(transform, np.array(photo)).astype(float)
    moved = [np.roll(ours, by, axis) for by in (-1, 1) for axis in (0, 1)]
    here, *elsewhere = (np.abs(one - pillows).mean() for one in [ours, *moved])
    assert here < 0.6 * min(elsewhere)
