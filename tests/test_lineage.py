"""What a model says of its weights once they were trained further."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier

PRESET = "poolformer_tiny_cifar10"
IMAGES, CLASSES = np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1])


@pytest.fixture
def preset():
    return PoolFormerImageClassifier.from_preset(PRESET, num_classes=2)


def test_a_fitted_model_names_what_it_began_from(preset, tmp_path):
    before = dict(preset.provenance)
    preset.compile("sgd", preset.default_loss())
    preset.fit(IMAGES, CLASSES, epochs=0, verbose=0)
    assert preset.provenance == before  # no step was made
    preset.fit(IMAGES, CLASSES, verbose=0)

    provenance = preset.get_config()["provenance"]
    assert (provenance["base_model"], provenance["trained"]) == (PRESET, True)
    assert provenance["transform"] == before["transform"]
    assert provenance["init"]["sha256"] == before["sha256"]
    assert provenance["init"]["new_tensors"] == ["head/kernel", "head/bias"]
    assert not provenance.keys() & {"source", "sha256", "layout", "tensors"}  # of other weights

    preset.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert again.get_config()["provenance"] == provenance
    again.compile("sgd", again.default_loss())
    again.train_on_batch(IMAGES, CLASSES)
    assert again.get_config()["provenance"] == provenance  # the first one stays the base
    assert again.with_classes(3).provenance["base_model"] == PRESET


def test_an_interrupted_fit_counts_too(preset):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    preset.compile("sgd", preset.default_loss())
    with pytest.raises(KeyboardInterrupt):
        preset.fit(IMAGES, CLASSES, verbose=0, callbacks=[Stop()])
    assert preset.provenance["trained"] is True


def test_fresh_weights_have_no_base():
    model = PoolFormerImageClassifier(PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2))
    model.compile("sgd", model.default_loss())
    model.train_on_batch(IMAGES, CLASSES)
    assert model.provenance == {"trained": True}
