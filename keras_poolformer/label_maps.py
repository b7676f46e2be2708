"""Turns the logits of a segmenter into a label for each pixel of the picture."""

import numpy as np

BYTE_CLASSES = 256  # that fit into uint8
IGNORED_LABEL = 255  # of pixels that belong to no class
_BAND_BYTES = 64 * 2**20  # of the logits that are at a picture's size at one time


def label_map(
    logits: np.ndarray, network_size: tuple[int, int], picture_size: tuple[int, int]
) -> np.ndarray:
    """Returns the class of the highest logit at each pixel of a picture.

    The logits are resized twice, as mmsegmentation resizes them: to the size of the network's
    input, then to the picture's; bilinearly, with the centers of pixels aligned. Both steps are
    linear and work on each axis by itself, so that one matrix an axis does them. A full-size
    picture's logits can take gigabytes; they are computed in bands of rows.

    Args:
        logits: (h, w, classes) of one picture.
        network_size: (height, width) of what the network saw, in pixels.
        picture_size: (height, width) of the picture, in pixels.

    Returns:
        (height, width), uint8, or uint16 for more than 256 classes.
    """
    height, width, classes = logits.shape
    rows = _two_resizes(height, network_size[0], picture_size[0])
    columns = _two_resizes(width, network_size[1], picture_size[1])
    flat = np.ascontiguousarray(logits, np.float32).reshape(height, width * classes)
    labels = np.empty(picture_size, np.uint8 if classes <= BYTE_CLASSES else np.uint16)
    band = max(1, _BAND_BYTES // (4 * classes * picture_size[1]))
    for start in range(0, picture_size[0], band):
        stretched = (rows[start : start + band] @ flat).reshape(-1, width, classes)
        labels[start : start + band] = (columns @ stretched).argmax(-1)
    return labels


def _two_resizes(side: int, network_side: int, picture_side: int) -> np.ndarray:
    """The matrix (picture_side, side) of both steps along one axis, in float32."""
    steps = _resize(network_side, picture_side) @ _resize(side, network_side)
    return steps.astype(np.float32)


def _resize(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) of a bilinear resize along one axis: PyTorch's align_corners=False."""
    places = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(places).astype(int)
    matrix = np.zeros((new, old))
    matrix[np.arange(new), low] = 1 - (places - low)
    matrix[np.arange(new), np.minimum(low + 1, old - 1)] += places - low
    return matrix
