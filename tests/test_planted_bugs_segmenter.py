"""The parity check of segmenters can fail: each bug a port may have is planted."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerSegmenter
from keras_poolformer.models import backbone, resizing, semantic_fpn
from tests.helpers import relative_error
from tests.segmenters import noise, randomized_segmenter, run_torch, save_checkpoint
from tests.test_parity_segmenter import TOLERANCE

torch = pytest.importorskip("torch")
pytest.importorskip("conversion.semantic_fpn")

SIZE = (61, 96)


def align_corners(monkeypatch):
    def matrix(old, new):
        places = np.linspace(0, old - 1, new)
        return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old))).astype("float32")

    def resize(x, height, width):
        rows = matrix(x.shape[1], height)
        columns = matrix(x.shape[2], width)
        return keras.ops.einsum("ij,njwc,kw->nikc", rows, x, columns)

    monkeypatch.setattr(resizing, "resize_bilinear", resize)


def kerass_batch_norm_epsilon(monkeypatch):
    monkeypatch.setattr(semantic_fpn, "BATCH_NORM_EPSILON", 1e-3)


def statistics_of_the_batch(monkeypatch):
    def call(self, inputs, original=keras.layers.BatchNormalization.call, **_):
        return original(self, inputs, training=True)

    monkeypatch.setattr(keras.layers.BatchNormalization, "call", call)


def all_upsampling_after_the_last_convolution(monkeypatch):
    monkeypatch.setattr(resizing.BilinearDoubling, "call", lambda self, inputs: inputs)
    monkeypatch.setattr(
        resizing.BilinearDoubling, "compute_output_shape", lambda self, shape: shape
    )


def nearest_in_the_head(monkeypatch):
    def resize(x, height, width):
        return keras.ops.image.resize(x, (height, width), "nearest", data_format="channels_last")

    monkeypatch.setattr(resizing, "resize_bilinear", resize)


def bilinear_in_the_neck(monkeypatch):
    def call(self, inputs):
        x, like = inputs
        return resizing.resize_bilinear(x, *like.shape[1:3])

    monkeypatch.setattr(resizing.UpsampleLike, "call", call)


def doubled_maps_cropped_at_the_start(monkeypatch):
    def call(self, inputs, original=resizing.UpsampleLike.call):
        x, like = inputs
        if self.interpolation == "bilinear":
            return original(self, inputs)
        doubled = keras.ops.repeat(keras.ops.repeat(x, 2, axis=1), 2, axis=2)
        return doubled[:, -like.shape[1] :, -like.shape[2] :]

    monkeypatch.setattr(resizing.UpsampleLike, "call", call)


def no_norm_on_the_stages(monkeypatch):
    class Skipped(keras.layers.GroupNormalization):
        def call(self, inputs):
            return inputs

    def make_norm(kind, name, dtype, epsilon, use_bias):
        return Skipped(groups=1, epsilon=epsilon, name=name, dtype=dtype)

    monkeypatch.setattr(backbone, "make_norm", make_norm)


def no_sum_in_the_neck(monkeypatch):
    class First(keras.layers.Add):
        def _merge_function(self, inputs):
            return inputs[0]

    monkeypatch.setattr(semantic_fpn.layers, "Add", First)


BUGS = [
    align_corners,
    kerass_batch_norm_epsilon,
    statistics_of_the_batch,
    all_upsampling_after_the_last_convolution,
    nearest_in_the_head,
    bilinear_in_the_neck,
    doubled_maps_cropped_at_the_start,
    no_norm_on_the_stages,
    no_sum_in_the_neck,
]


@pytest.fixture(scope="module")
def parity_error(tmp_path_factory):
    """Checks a freshly built model; returns the error of its logits."""
    module = randomized_segmenter()
    file = save_checkpoint(module, tmp_path_factory.mktemp("weights") / "x.pth")
    images = noise(1, *SIZE, 3)
    expected = run_torch(module, images)["logits"]
    return lambda: relative_error(PoolFormerSegmenter.from_preset(file)(images), expected)


def test_without_a_bug_the_check_passes(parity_error):
    assert parity_error() <= TOLERANCE


@pytest.mark.first(3)
@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_fails_the_check(parity_error, monkeypatch, plant):
    plant(monkeypatch)
    assert parity_error() > 10 * TOLERANCE
