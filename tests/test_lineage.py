"""What a model says of its weights once they were trained further."""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.lineage import after_steps, origin_lines, started_from, trained
from keras_poolformer.provenance import Provenance
from tests.helpers import PRESET

IMAGES, CLASSES = np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1])


@pytest.fixture
def preset():
    """Its tests take a step or two, which tracing a graph of ten blocks would outlast."""
    return PoolFormerImageClassifier.from_preset(PRESET, num_classes=2)


def test_a_fitted_model_names_what_it_began_from(preset, tmp_path):
    before = dict(preset.provenance)
    preset.compile("sgd", preset.default_loss(), run_eagerly=True)
    preset.fit(IMAGES, CLASSES, epochs=0, verbose=0)
    assert preset.provenance == before  # no step was made
    preset.fit(IMAGES, CLASSES, verbose=0)

    provenance = preset.provenance
    assert (provenance["base_model"], provenance["trained"]) == (PRESET, True)
    assert provenance["transform"] == before["transform"]
    assert provenance["init"]["sha256"] == before["sha256"]
    assert provenance["init"]["new_tensors"] == ["head/kernel", "head/bias"]
    assert not provenance.keys() & {"source", "sha256", "layout", "tensors"}  # of other weights

    preset.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert again.provenance == provenance
    again.compile("sgd", again.default_loss(), run_eagerly=True)
    again.train_on_batch(IMAGES, CLASSES)
    assert again.provenance == provenance  # the first one stays the base
    assert again.with_classes(3).provenance["base_model"] == PRESET


def test_weights_that_are_loaded_over_trained_ones_are_not_trained(preset, tmp_path):
    save_torch_weights(preset, tmp_path / "x.safetensors")
    preset.compile("sgd", preset.default_loss(), run_eagerly=True)
    preset.train_on_batch(IMAGES, CLASSES)
    load_torch_weights(preset, tmp_path / "x.safetensors")
    provenance = preset.provenance
    assert provenance["source"] == "x.safetensors"
    assert not provenance.keys() & {"trained", "base_model", "init"}


def test_an_interrupted_fit_counts_too(preset):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    preset.compile("sgd", preset.default_loss(), run_eagerly=True)
    with pytest.raises(KeyboardInterrupt):
        preset.fit(IMAGES, CLASSES, verbose=0, callbacks=[Stop()])
    assert preset.provenance["trained"] is True


def test_fresh_weights_have_no_base():
    model = PoolFormerImageClassifier(PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2))
    model.compile("sgd", model.default_loss())
    model.train_on_batch(IMAGES, CLASSES)
    assert model.provenance == {"trained": True}


# ---------------------------------------------------------------------------------------
# In words, and for the trainer

CHECKPOINT = Provenance.of({
    "source": "mine.pth", "sha256": "0" * 64, "layout": "sail", "head": "norm_pool", "wrapper": "",
    "dtype": "float32", "tensors": 52, "parameters": 10_987, "new_tensors": ["head/bias"],
    "transform": {"size": 64}, "keras_poolformer": "0.1.0",
})  # fmt: skip


def run_from(provenance):
    """The provenance of a run that starts from another model."""
    started = started_from(provenance)
    return after_steps(started.replace(source="keras-poolformer train on photos"), 1200)


def test_training_moves_what_is_about_the_checkpoint():
    provenance = started_from(CHECKPOINT)
    assert provenance == {
        "transform": ImageTransform(size=64).to_dict(),
        "keras_poolformer": "0.1.0",
        "base_model": "mine.pth",
        "init": dict(CHECKPOINT.replace(transform=None)),
        "trained": True,
    }
    again = started_from(run_from(CHECKPOINT), "run")
    assert again["base_model"] == "run" and again["init"]["base_model"] == "mine.pth"
    assert "init" not in again["init"] and "step" not in again  # one generation
    assert started_from(Provenance()) == {"trained": True}


def test_what_is_known_is_said():
    first = "mine.pth: 52 tensors, 10,987 parameters, float32, layout sail, head norm_pool"
    new = "new, not from the checkpoint: head/bias"
    assert origin_lines(CHECKPOINT) == [first, f"sha256 {'0' * 64}", new]
    base = ["began as mine.pth", f"sha256 of that file: {'0' * 64}"]
    assert origin_lines(trained(CHECKPOINT)) == ["trained with Keras", *base]
    steps = "keras-poolformer train on photos, 1,200 steps, seed None"
    assert origin_lines(run_from(CHECKPOINT)) == [steps, *base]
    assert origin_lines(run_from(Provenance())) == [steps]
    assert origin_lines(Provenance(source="poolformer_s12")) == ["poolformer_s12"]
    unknown = Provenance(transform=ImageTransform())
    assert origin_lines(Provenance()) == origin_lines(unknown) == []
