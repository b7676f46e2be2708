"""The colors of classes that have none."""

import numpy as np
from PIL import Image

from keras_poolformer.images.overlays import overlay, voc_palette


def test_voc_palette():
    """As the development kit of PASCAL VOC lists it (VOClabelcolormap.m): 0 to 4, 20 and 255."""
    colors = voc_palette()
    assert colors[:5] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert (colors[20], colors[255], len(set(colors))) == ((0, 64, 128), (224, 224, 192), 256)


def test_without_a_palette():
    drawn = overlay(Image.new("RGB", (3, 1), (100, 100, 100)), np.uint8([[1, 4, 255]]))
    colors = [drawn.getpixel((x, 0)) for x in range(3)]
    assert colors == [(114, 50, 50), (50, 50, 114), (100, 100, 100)]  # 255 is ignored
