"""From a segmenter's logits to a label for each pixel of the image."""

import numpy as np

ROWS_AT_ONCE = 64  # of the image: all logits of a large one would take gigabytes
SMALL = 256  # classes whose numbers fit into uint8


def label_map(
    logits: np.ndarray, network_size: tuple[int, int], image_size: tuple[int, int]
) -> np.ndarray:
    """Returns the class with the highest logit at each pixel of an image.

    As mmsegmentation does it, logits are interpolated bilinearly (pixels' centers correspond, as
    with PyTorch's `align_corners=False`) to the size that the network saw, and from there to the
    image's own. Each step is linear in both axes, so that the two are done at once.

    Args:
        logits: (h, w, classes) floats.
        network_size: (height, width) of the network's input in pixels.
        image_size: (height, width) of the result in pixels.

    Returns:
        uint8 (height, width); uint16 for more than 256 classes.
    """
    height, width, classes = logits.shape
    rows = _interpolation(height, network_size[0], image_size[0])
    columns = _interpolation(width, network_size[1], image_size[1])
    values = logits.astype(np.float32, copy=False).reshape(height, -1)
    labels = np.empty(image_size, np.uint8 if classes <= SMALL else np.uint16)
    for start in range(0, image_size[0], ROWS_AT_ONCE):
        stretched = (rows[start : start + ROWS_AT_ONCE] @ values).reshape(-1, width, classes)
        labels[start : start + ROWS_AT_ONCE] = (columns @ stretched).argmax(-1)
    return labels


def _interpolation(length: int, between: int, resized: int) -> np.ndarray:
    """The matrix (resized, length) of two interpolations in turn."""
    matrix = _bilinear(between, resized) @ _bilinear(length, between)
    return matrix.astype(np.float32)


def _bilinear(length: int, resized: int) -> np.ndarray:
    """The matrix (resized, length) of one interpolation, float64."""
    positions = np.maximum((np.arange(resized) + 0.5) * (length / resized) - 0.5, 0)
    first = np.minimum(positions.astype(np.int64), length - 1)
    second = np.minimum(first + 1, length - 1)
    fraction = positions - first
    matrix = np.zeros((resized, length))
    outputs = np.arange(resized)
    np.add.at(matrix, (outputs, first), 1 - fraction)
    np.add.at(matrix, (outputs, second), fraction)
    return matrix
