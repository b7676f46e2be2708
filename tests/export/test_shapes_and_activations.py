"""Every activation on LiteRT, and images that are not square through every export."""

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    export_saved_model,
    export_tflite,
)
from keras_poolformer.config_fields import ACTIVATIONS
from keras_poolformer.export.saved_model import examine
from keras_poolformer.runtime import TFLiteClassifier
from tests.helpers import randomized_model

CONFIG = PoolFormerConfig(depths=(1, 1), widths=(8, 12), num_classes=3)
TRANSFORM = ImageTransform(size=(64, 96), crop_mode="hf")


@pytest.mark.first(1)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, tmp_path):
    """Measured: at most 1.7e-7 of the logits; as int8, which is not tested, at most 2.3e-2."""
    model = randomized_model(
        CONFIG.replace(activation=activation),
        provenance={"transform": ImageTransform(size=32).to_dict()},
    )
    assert export_tflite(model, tmp_path / "x.tflite").error < 2e-6


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("recipe", "tolerance"), [("fp32", 2e-6), ("dynamic_int8", 5e-3), ("int8", 0.05)]
)
def test_a_tflite_file_of_images_that_are_not_square(recipe, tolerance, tmp_path, photographs):
    """Measured: 1.2e-7, 7e-4 and 1.4e-2 of the logits."""
    model = randomized_model(CONFIG, provenance={"transform": TRANSFORM.to_dict()})
    calibration = photographs if recipe == "int8" else None
    result = export_tflite(model, tmp_path / "x.tflite", recipe=recipe, calibration=calibration)
    assert result.error < tolerance
    classifier = TFLiteClassifier(result.path)
    assert classifier.input_shape == (64, 96, 3)
    logits = np.asarray(model(TRANSFORM(photographs[0])[None]))[0]
    (_, probability), *_ = classifier.classify(photographs[0])
    assert probability == pytest.approx((np.exp(logits) / np.exp(logits).sum()).max(), abs=0.05)


@pytest.mark.slow
def test_a_saved_model_of_images_that_are_not_square(tmp_path, photographs):
    import tensorflow as tf

    model = randomized_model(CONFIG, provenance={"transform": TRANSFORM.to_dict()})
    export_saved_model(model, tmp_path / "x")
    assert examine(model, tmp_path / "x").error < 2e-6
    encoded = tf.saved_model.load(str(tmp_path / "x")).signatures["encoded"]
    files = [photo.read_bytes() for photo in photographs[:2]]
    received = encoded(image_bytes=tf.constant(files))["logits"].numpy()
    expected = np.asarray(model(TRANSFORM(photographs[:2])))
    assert np.linalg.norm(received - expected) < 1e-3 * np.linalg.norm(expected)
