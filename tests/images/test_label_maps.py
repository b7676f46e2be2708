"""Label maps from logits, against PyTorch's interpolation in two steps."""

import numpy as np
import pytest

from keras_poolformer.images.label_maps import label_map

torch = pytest.importorskip("torch")
interpolate = torch.nn.functional.interpolate

# Size of the logits, of the network's input and of the image: a larger, a smaller and an odd one.
SIZES = [
    ((8, 12), (32, 48), (70, 101)),
    ((16, 16), (64, 64), (40, 30)),
    ((8, 8), (32, 32), (32, 32)),
    ((8, 64), (32, 256), (25, 200)),
]


def pytorchs(logits, network_size, image_size):
    """As `mmseg.models.segmentors.EncoderDecoder` resizes, then `postprocess_result`."""
    values = torch.from_numpy(logits).permute(2, 0, 1)[None]
    for size in (network_size, image_size):
        values = interpolate(values, size, mode="bilinear", align_corners=False)
    return values[0].argmax(0).numpy()


@pytest.mark.parametrize(("size", "network_size", "image_size"), SIZES)
def test_labels_are_pytorchs(size, network_size, image_size):
    logits = np.random.default_rng(0).standard_normal((*size, 5), np.float32)
    received = label_map(logits, network_size, image_size)
    expected = pytorchs(logits, network_size, image_size)
    assert (received.dtype, received.shape) == (np.uint8, image_size)
    assert (received == expected).mean() >= 0.9999  # measured: 1


def test_two_steps_are_not_one():
    """Straight to the image's size would give other labels."""
    size, network_size, image_size = SIZES[1]
    logits = np.random.default_rng(0).standard_normal((*size, 5), np.float32)
    once = label_map(logits, image_size, image_size)
    assert (once != label_map(logits, network_size, image_size)).mean() > 0.01


def test_many_classes_need_more_bits():
    logits = np.zeros((2, 2, 300), np.float32)
    logits[..., 299] = 1
    labels = label_map(logits, (8, 8), (9, 7))
    assert labels.dtype == np.uint16 and (labels == 299).all()
