"""What a model says of its weights once they were trained further."""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.lineage import (
    current_provenance,
    origin_lines,
    provenance_from,
    trained_provenance,
)
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

    provenance = preset.get_config()["provenance"]
    assert (provenance["base_model"], provenance["trained"]) == (PRESET, True)
    assert provenance["transform"] == before["transform"]
    assert provenance["init"]["sha256"] == before["sha256"]
    assert provenance["init"]["new_tensors"] == ["head/kernel", "head/bias"]
    assert not provenance.keys() & {"source", "sha256", "layout", "tensors"}  # of other weights

    preset.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert again.get_config()["provenance"] == provenance
    again.compile("sgd", again.default_loss(), run_eagerly=True)
    again.train_on_batch(IMAGES, CLASSES)
    assert again.get_config()["provenance"] == provenance  # the first one stays the base
    assert again.with_classes(3).provenance["base_model"] == PRESET


def test_weights_that_are_loaded_over_trained_ones_are_not_trained(preset, tmp_path):
    save_torch_weights(preset, tmp_path / "x.safetensors")
    preset.compile("sgd", preset.default_loss(), run_eagerly=True)
    preset.train_on_batch(IMAGES, CLASSES)
    load_torch_weights(preset, tmp_path / "x.safetensors")
    provenance = preset.get_config()["provenance"]
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

CHECKPOINT = {
    "source": "mine.pth", "sha256": "0" * 64, "layout": "sail", "head": "norm_pool", "wrapper": "",
    "dtype": "float32", "tensors": 52, "parameters": 10_987, "new_tensors": ["head/bias"],
    "unused_tensors": [], "transform": {"size": 64}, "keras_poolformer": "0.1.0",
}  # fmt: skip


def test_training_moves_what_is_about_the_checkpoint():
    provenance = provenance_from(CHECKPOINT)
    init = {name: value for name, value in CHECKPOINT.items() if name != "transform"}
    assert provenance == {
        "transform": {"size": 64},
        "keras_poolformer": "0.1.0",
        "base_model": "mine.pth",
        "init": init,
        "trained": True,
    }
    again = provenance_from(provenance | {"source": "train on photos", "step": 9}, "run")
    assert again["base_model"] == "run" and again["init"]["base_model"] == "mine.pth"
    assert "init" not in again["init"] and "step" not in again  # one generation
    assert provenance_from(None) == {"trained": True}


def test_what_is_known_is_said():
    first = "mine.pth: 52 tensors, 10,987 parameters, float32, layout sail, head norm_pool"
    new = "new, not from the checkpoint: head/bias"
    assert origin_lines(CHECKPOINT) == [first, f"sha256 {'0' * 64}", new]
    base = ["began as mine.pth", f"sha256 of that file: {'0' * 64}"]
    assert origin_lines(trained_provenance(CHECKPOINT)) == ["trained with Keras", *base]
    ours = {"source": "keras-poolformer train on photos", "step": 1200, "seed": 0}
    assert origin_lines(provenance_from(CHECKPOINT) | ours) == [
        "keras-poolformer train on photos, 1,200 steps, seed 0",
        *base,
    ]
    assert origin_lines(provenance_from(None) | ours) == [
        "keras-poolformer train on photos, 1,200 steps, seed 0"
    ]
    assert origin_lines({"source": "poolformer_s12"}) == ["poolformer_s12"]
    assert origin_lines(None) == origin_lines({"transform": {}}) == []


def test_files_of_earlier_versions_are_put_in_order():
    """They said the checkpoint's checksum to be that of the trained weights."""
    old = CHECKPOINT | {"source": "keras-poolformer train on photos", "step": 9, "seed": 1}
    facts = current_provenance(old | {"init": "poolformer_s12"})
    assert "sha256" not in facts and "layout" not in facts
    assert (facts["base_model"], facts["init"]["sha256"]) == ("poolformer_s12", "0" * 64)
    assert origin_lines(old | {"init": None}) == [
        "keras-poolformer train on photos, 9 steps, seed 1"
    ]
    assert current_provenance(CHECKPOINT) == CHECKPOINT
