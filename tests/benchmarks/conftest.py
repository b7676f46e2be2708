"""A comparison's files, of a network small enough for every test."""

from pathlib import Path

import pytest

from benchmarks.build import build_tensorflow
from benchmarks.job import new_job
from keras_poolformer import PoolFormerConfig
from keras_poolformer.variants import VARIANTS

SIZE = 64
EXPORTS = {"built", "built_star_relu", "measured", "compared"}  # fixtures that take long
FILES = ("ours-fp32", "floor-fp32", "floor-dynamic_int8", "floor-int8")
# timm leaves out the convolution between stages of equal width.
CONFIG = PoolFormerConfig(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32), num_classes=5)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items):
    """What needs exported files of whole networks is slow."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        if EXPORTS & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def small(variant, **fields):
    """The config of a variant, with fewer blocks, channels and classes."""
    size = {"depths": CONFIG.depths, "widths": CONFIG.widths, "num_classes": CONFIG.num_classes}
    return VARIANTS[variant].replace(**(size | fields))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A job with its weights, floors, and our fp32 file."""
    job = new_job(CONFIG, SIZE, tmp_path_factory.mktemp("bench"))
    build_tensorflow(job, FILES)
    return job


@pytest.fixture(scope="session")
def built_star_relu(tmp_path_factory):
    """The same of a network with StarReLU."""
    job = new_job(small("poolformerv2_s12"), SIZE, tmp_path_factory.mktemp("bench"))
    build_tensorflow(job, FILES)
    return job
