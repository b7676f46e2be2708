import numpy as np
import pytest

from conversion import cifar10


def test_reads_the_original_binary_format(tmp_path):
    """A label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, row by row."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (3, 3073), np.uint8)
    records[:, 0] = [3, 9, 0]
    records.tofile(tmp_path / "test_batch.bin")
    images, labels = cifar10.load_split(tmp_path, "test")
    assert labels.tolist() == [3, 9, 0]
    assert images.shape == (3, 32, 32, 3)
    assert images[1, 2, 5].tolist() == [records[1, 1 + 1024 * c + 2 * 32 + 5] for c in range(3)]


def test_a_truncated_file_is_refused(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(ValueError, match="3073"):
        cifar10.load_split(tmp_path, "test")
