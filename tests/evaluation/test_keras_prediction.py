"""The first batch without a graph, and all others with one."""

import keras
import numpy as np

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.evaluation.opening import keras_network
from tests.helpers import randomized_model


def test_every_batch_gets_what_keras_predicts(tiny_config, monkeypatch):
    model = randomized_model(tiny_config, PoolFormerImageClassifier)
    scorer = keras_network("tiny", model)
    images = np.random.default_rng(0).normal(size=(3, 64, 64, 3)).astype(np.float32)
    expected = keras.Model(model.input, model.output).predict(images, verbose=0)
    made = []
    make = model.make_predict_function
    monkeypatch.setattr(model, "make_predict_function", lambda: made.append(1) or make())
    for graphs in (0, 1, 2):
        outputs = scorer.predict(images)
        assert type(outputs) is np.ndarray and len(made) == graphs
        # Measured: 0.
        assert np.abs(outputs - expected).max() <= 1e-6 * np.abs(expected).max()
