import numpy as np
import pytest

from keras_poolformer.data.mixing import Mixing

PLAIN = Mixing(mixup=0.0, cutmix=0.0, label_smoothing=0.0)


@pytest.fixture
def plain():
    """No mixing, no smoothing."""
    return PLAIN


@pytest.fixture(scope="session")
def photo_batch(rgb_photographs):
    """float32 (4, 64, 64, 3), normalised crops of photographs, and int64 labels."""
    crops = [
        np.asarray(photo.resize((96, 96)))[y : y + 64, x : x + 64]
        for photo, (y, x) in zip(rgb_photographs * 2, [(0, 0), (16, 8), (30, 30), (5, 25)])
    ]
    images = (np.stack(crops).astype(np.float32) / 255 - 0.45) / 0.225
    return images, np.array([0, 2, 1, 2])
