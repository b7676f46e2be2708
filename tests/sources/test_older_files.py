""".keras files that version 0.1.0 wrote are read as it read them: numbers, classes and origin."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.provenance import TrainingRun

DATA = Path(__file__).with_name("data")
TOLERANCE = 1e-5  # relative; the logits were computed on another machine


@pytest.mark.parametrize("name", ["converted", "trained"])
def test_a_keras_file(name):
    path = DATA / f"{name}_0.1.0.keras"
    expected = np.load(DATA / "logits_0.1.0.npz")
    for model in (PoolFormerImageClassifier.from_preset(path), keras.saving.load_model(path)):
        np.testing.assert_allclose(model(expected["images"]), expected[name], rtol=TOLERANCE)
        assert model.config.labels == ("cat", "dog", "owl")
        assert model.transform == ImageTransform(size=32, crop_pct=1.0)
        assert model.frozen_stages == (1 if name == "trained" else 0)


def test_their_provenance():
    converted = PoolFormerImageClassifier.from_preset(DATA / "converted_0.1.0.keras").provenance
    weights = converted.weights
    assert converted.source == "tiny.safetensors" and converted.version == "0.1.0"
    assert weights is not None and weights.sha256 is not None
    assert (weights.layout, weights.head, weights.tensors) == ("sail", "norm_pool", 28)
    assert weights.assumed["pool_size"] == 3
    trained = PoolFormerImageClassifier.from_preset(DATA / "trained_0.1.0.keras").provenance
    assert trained.weights is None and trained.source is None
    init = converted.replace(transform=None)
    assert trained.training == TrainingRun(base_model="tiny.safetensors", init=init)
