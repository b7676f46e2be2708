"""A segmenter equals PyTorch: pyramid, neck, logits and full-size labels, all weights random.

The judge is conversion/semantic_fpn.py, itself equal to mmsegmentation
(tests/conversion/test_mmsegmentation.py).
"""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerSegmenter
from keras_poolformer.label_maps import label_map
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from tests.helpers import relative_error
from tests.segmenters import CONFIG, noise, outputs_of, randomized_segmenter, run_torch
from tests.segmenters import save_checkpoint as save

torch = pytest.importorskip("torch")
pytest.importorskip("conversion.semantic_fpn")

TOLERANCE = 3e-6  # measured up to 9.3e-7 (poolformer_s12), printed with -rP
LEAST_EQUAL = 0.9999  # of all labels


@pytest.fixture(scope="module")
def module():
    return randomized_segmenter()


@pytest.fixture(scope="module")
def file(module, tmp_path_factory):
    return save(module, tmp_path_factory.mktemp("mmseg") / "iter_40000.pth")


@pytest.fixture(scope="module")
def network(file):
    model = PoolFormerSegmenter.from_preset(file)
    return model, keras.Model(model.input, outputs_of(model))


# Multiples of 32, and sides whose maps cannot all be doubled.
@pytest.mark.parametrize("size", [(64, 96), (61, 93), (70, 130), (33, 64)])
def test_every_output_equals_pytorchs(network, module, size):
    images = noise(2, *size, 3)
    expected, received = run_torch(module, images), network[1](images)
    assert set(received) == set(expected) and len(expected) == 9
    errors = {name: relative_error(received[name], one) for name, one in expected.items()}
    print(f"largest relative error at {size}: {max(errors.values()):.1e}")
    assert max(errors.values()) <= TOLERANCE, errors


def test_a_graph_of_any_size_equals_pytorch(network, module):
    """Where sizes are not known when the graph is made, resizing is done by matrices."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    graph = tf.function(network[0], input_signature=signature)
    for size in ((64, 96), (61, 93)):
        images = noise(1, *size, 3)
        assert relative_error(graph(images), run_torch(module, images)["logits"]) <= TOLERANCE


def test_in_float64(tmp_path):
    """Only rounding differs: in double precision it does so a hundred million times less.

    With ReLU, since TensorFlow's GELU has the precision of float32.
    """
    config = CONFIG.replace(activation="relu")
    module = randomized_segmenter(config)
    file = save(module, tmp_path / "x.pth")
    model = PoolFormerSegmenter.from_preset(file, dtype="float64", activation="relu")
    images = noise(1, 61, 96, 3).astype(np.float64)
    expected = run_torch(module.double(), images)["logits"]
    error = relative_error(model(images), expected)
    print(f"relative error in float64: {error:.1e}")
    assert error <= 1e-13


def test_labels_of_a_photograph(network, module, photographs):
    """PyTorch resizes its own logits twice, as mmsegmentation does."""
    model = network[0]
    prepared = model.transform([photographs[0]])
    logits = run_torch(module, prepared)["logits"]
    full = torch.from_numpy(logits).permute(0, 3, 1, 2)
    received = model.predict_labels(photographs[0])
    for size in (prepared.shape[1:3], received.shape):
        full = torch.nn.functional.interpolate(
            full, size=size, mode="bilinear", align_corners=False
        )
    expected = full[0].argmax(0).numpy()
    assert received.dtype == np.uint8 and len(np.unique(expected)) > 1
    assert np.mean(received == expected) >= LEAST_EQUAL


@pytest.mark.parametrize("sizes", [((64, 96), (100, 60)), ((61, 93), (61, 93)), ((32, 64), (7, 9))])
def test_label_maps_are_those_of_two_resizes_in_pytorch(sizes, monkeypatch):
    monkeypatch.setattr("keras_poolformer.label_maps._BAND_BYTES", 4 * 5 * 60 * 8)  # 8 rows or so
    network_size, picture_size = sizes
    logits = noise(network_size[0] // 4, network_size[1] // 4, 5)
    full = torch.from_numpy(logits)[None].permute(0, 3, 1, 2)
    for size in sizes:
        full = torch.nn.functional.interpolate(
            full, size=size, mode="bilinear", align_corners=False
        )
    received = label_map(logits, network_size, picture_size)
    assert np.mean(received == full[0].argmax(0).numpy()) >= LEAST_EQUAL


def test_many_classes_need_two_bytes():
    logits = noise(4, 4, 300)
    labels = label_map(logits, (16, 16), (16, 16))
    assert labels.dtype == np.uint16 and labels.max() > 255


# All variants of the first paper, and a shallower, narrower network.
@pytest.mark.slow
@pytest.mark.parametrize("name", [f"poolformer_{size}" for size in ("s12", "s24", "m48")])
def test_released_architectures_equal_pytorchs(name, tmp_path):
    config = MetaFormerSegmenter.from_variant(name).config
    module = randomized_segmenter(config)
    model = PoolFormerSegmenter.from_preset(save(module, tmp_path / "x.pth"))
    assert model.config.replace(labels=None, palette=None) == config
    images = noise(1, 128, 160, 3)
    expected = run_torch(module, images)["logits"]
    error = relative_error(model(images), expected)
    print(f"{name}: relative error {error:.1e}")
    assert error <= TOLERANCE


def test_the_loss_is_that_of_mmsegmentation():
    """Cross entropy with ignore_index 255 at the masks' size, averaged over all pixels."""
    logits, masks = noise(2, 8, 12, 5), np.random.default_rng(1).integers(0, 5, (2, 32, 48))
    masks[0, :20] = 255
    full = torch.nn.functional.interpolate(
        torch.from_numpy(logits).permute(0, 3, 1, 2), size=(32, 48), mode="bilinear"
    )
    losses = torch.nn.functional.cross_entropy(
        full, torch.from_numpy(masks), ignore_index=255, reduction="none"
    )
    loss = PoolFormerSegmenter(CONFIG).default_loss()
    for shape in ((2, 32, 48), (2, 32, 48, 1)):
        received = float(loss(masks.reshape(shape).astype(np.uint8), logits))
        assert received == pytest.approx(float(losses.mean()), rel=1e-6)
