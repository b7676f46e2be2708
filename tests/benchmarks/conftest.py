"""A comparison's files, of a network small enough for every test."""

import pytest

from benchmarks.build import build_tensorflow
from benchmarks.job import new_job
from keras_poolformer import PoolFormerConfig

SIZE = 64
# timm leaves out the convolution between stages of equal width.
CONFIG = PoolFormerConfig(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32), num_classes=5)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A job with its weights, floors, and our fp32 file."""
    job = new_job(CONFIG, SIZE, tmp_path_factory.mktemp("bench"))
    names = ["ours-fp32", "floor-fp32", "floor-dynamic_int8", "floor-int8"]
    build_tensorflow(job, names)
    return job
