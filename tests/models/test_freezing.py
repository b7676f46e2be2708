"""What was frozen is frozen in every model made of the saved one, down to single weights."""

from typing import Any, cast

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError

CONFIG = PoolFormerConfig(depths=(1, 2), widths=(8, 8), num_classes=3)


def middle(model):
    model.backbone.get_layer("stages_1_blocks_0").trainable = False


def head(model):
    model.head.trainable = False


def norms(model):
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.GroupNormalization):
            layer.trainable = False


def stages(model):
    model.freeze(stages=1)


def backbone(model):
    model.backbone.trainable = False


def all_but_one(model):
    """A part of the backbone learns, inside a layer that was frozen as a whole."""
    model.freeze()
    block = model.backbone.get_layer("stages_1_blocks_1")
    block.trainable = True
    block.mlp.trainable = False
    block.mlp.fc2.trainable = True


def biases_only(model):
    for weight in model.weights:
        weight.trainable = weight.path.endswith(("bias", "beta"))


def everything(model):
    model.trainable = False


FREEZE = (middle, head, norms, stages, backbone, all_but_one, biases_only, everything)


def learning(model):
    return [weight.path for weight in model.trainable_weights]


def flags(model):
    return [layer.trainable for layer in model._flatten_layers()]


@pytest.mark.first(1)
@pytest.mark.parametrize("freeze", FREEZE)
def test_what_is_frozen_stays_frozen(freeze, tmp_path):
    model: Any = PoolFormerImageClassifier(CONFIG)
    freeze(model)
    model.compile("adam", model.default_loss())
    model.optimizer.build(model.trainable_variables)
    for index, variable in enumerate(model.optimizer.variables):
        variable.assign(np.full(variable.shape, index))
    model.save(tmp_path / "x.keras")
    model.save_to_preset(tmp_path / "folder")

    loaded = cast(Any, keras.saving.load_model(tmp_path / "x.keras"))
    for again in (
        loaded,
        PoolFormerImageClassifier.from_preset(tmp_path / "x.keras"),
        PoolFormerImageClassifier.from_preset(tmp_path / "folder"),
    ):
        assert learning(again) == learning(model)
        assert flags(again) == flags(model)
    pairs = zip(loaded.optimizer.variables, model.optimizer.variables, strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)

    model.trainable = loaded.trainable = True  # nothing is left behind
    assert learning(loaded) == learning(model) and flags(loaded) == flags(model)


@pytest.mark.slow
def test_other_models_made_of_a_frozen_one(tmp_path):
    model = PoolFormerImageClassifier(CONFIG)
    biases_only(model)
    model.head.trainable = False
    model.save(tmp_path / "x.keras")
    biases = [path for path in learning(model) if not path.startswith("head")]
    fresh = ["head/kernel", "head/bias"]
    assert learning(model.with_classes(5)) == [*biases, "head_norm/beta", *fresh]
    for overrides, expected in (
        ({"num_classes": 5}, [*biases, "head_norm/beta", *fresh]),
        ({"num_classes": 0}, [*biases, "head_norm/beta"]),
        ({"head": "pool_norm"}, [*biases, "head_norm/beta"]),
    ):
        again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", **overrides)
        assert learning(again) == expected, overrides
    again = PoolFormerBackbone.from_preset(tmp_path / "x.keras", feature_norms=True)
    norms = [path for path in learning(again) if "output_norm" in path]
    assert len(norms) == 4  # fresh ones learn
    assert [path for path in learning(again) if path not in norms] == biases


def test_a_frozen_model_gets_a_head_that_learns(tmp_path):
    model = PoolFormerImageClassifier(CONFIG)
    model.trainable = False
    model.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", num_classes=5)
    assert learning(again) == learning(model.with_classes(5)) == ["head/kernel", "head/bias"]
    assert again.frozen_stages == 2


def test_older_files_say_how_many_stages_are_frozen():
    model = PoolFormerImageClassifier(CONFIG)
    config = model.get_config()
    del config["trainable_state"]
    again = PoolFormerImageClassifier.from_config(config | {"frozen_stages": 1})
    model.freeze(1)
    assert flags(again) == flags(model)
    assert PoolFormerImageClassifier.from_config(config | {"trainable": False}).trainable is False


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "fields",
    [
        {"trainable": "no"},
        {"trainable_state": []},
        {"trainable_state": {"layers": {}}},
        {"trainable_state": {"layers": {}, "weights": ["head/bias"]}},
        {"trainable_state": {"layers": {"stages_9_blocks_0": False}, "weights": {}}},
        {"trainable_state": {"layers": {"head": 0}, "weights": {}}},
        {"trainable_state": {"layers": {}, "weights": {"x" * 10**6 + "\n": False}}},
        {"trainable_state": None, "frozen_stages": 10**400},
    ],
)
def test_hostile_fields_are_refused_in_one_line(fields):
    config = PoolFormerImageClassifier(CONFIG).get_config()
    with pytest.raises(InputError) as caught:
        PoolFormerImageClassifier.from_config(config | fields)
    message = str(caught.value)
    assert message.isprintable() and "Received" in message and len(message) < 300
