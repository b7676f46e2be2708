"""Losses, other classes, and frozen stages."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_module

CONFIG = PoolFormerConfig(depths=(1, 2, 1), widths=(8, 12, 16), num_classes=3)
LABELS = {
    "single_label_classification": (3, np.array([2, 0])),
    "multi_label_classification": (3, np.array([[1.0, 0, 1], [0, 0, 1]], np.float32)),
    "regression": (1, np.array([0.5, -2.0], np.float32)),
    "regression of several": (3, np.array([[0.1, 2, -1], [1, 0, 3]], np.float32)),
}


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


# ---------------------------------------------------------------------------------------
# The loss of labels


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", LABELS)
def test_loss_and_gradient_are_transformers(kind, images, tmp_path):
    torch = pytest.importorskip("torch")
    oracles = pytest.importorskip("conversion.oracles")
    outputs, labels = LABELS[kind]
    module = randomized_module(
        oracles.build_oracle(CONFIG.replace(num_classes=outputs), "hf").module
    )
    torch.save(module.state_dict(), tmp_path / "x")
    if kind == "regression of several":
        module.config.problem_type = "regression"  # it is never guessed there
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    expected = module(pixels, labels=torch.from_numpy(labels)).loss
    expected.backward()

    model = PoolFormerImageClassifier.from_preset(tmp_path / "x")
    asked = {"multi_label_classification": kind, "regression of several": "regression"}.get(kind)
    with tf.GradientTape() as tape:
        received = model.default_loss(asked)(labels, model(images, training=False))
    assert abs(float(received) - expected.item()) <= TOLERANCE * abs(expected.item())
    received = tape.gradient(received, [variable.value for variable in model.trainable_weights])
    # PyTorch's gradients, read as the checkpoint that they have the names and shapes of.
    torch.save({name: one.grad for name, one in module.named_parameters()}, tmp_path / "gradient")
    expected = PoolFormerImageClassifier.from_preset(tmp_path / "gradient").trainable_weights
    pairs = list(zip(received, expected, strict=True))
    error = sum(np.sum((one - other.numpy()) ** 2) for one, other in pairs)
    length = sum(np.sum(other.numpy() ** 2) for _, other in pairs)
    assert error**0.5 <= TOLERANCE * length**0.5


def test_it_is_a_loss_to_compile_with(images):
    model = PoolFormerImageClassifier(CONFIG.replace(num_classes=1))
    model.compile("sgd", loss=model.default_loss(), run_eagerly=True)
    targets = np.float32([1, 2])
    loss = model.evaluate(images, targets, verbose=0)
    assert loss == pytest.approx(np.mean((np.asarray(model(images))[:, 0] - targets) ** 2), 1e-5)


def test_a_loss_that_does_not_exist():
    with pytest.raises(InputError, match=r"one of single_label.*Received: 'ranking', 3 classes"):
        PoolFormerImageClassifier(CONFIG).default_loss("ranking")
    with pytest.raises(InputError, match="0 classes"):
        PoolFormerImageClassifier(CONFIG.replace(num_classes=0)).default_loss()


# ---------------------------------------------------------------------------------------
# Other classes


def test_with_classes_changes_the_last_layer_alone(images):
    model = PoolFormerImageClassifier(CONFIG, provenance={"sha256": "1" * 64}, name="mine")
    before = values(model)
    other = model.with_classes(5, labels=list("abcde"), seed=1)
    assert (other.config.labels, other.name) == (tuple("abcde"), "mine")
    np.testing.assert_array_equal(other.embed(images), model.embed(images))
    assert other.head.kernel.shape == (16, 5)
    assert 0.015 < np.std(other.head.kernel) < 0.025  # initializer_range
    assert not np.any(other.head.bias)
    known = {"sha256": "1" * 64}
    assert model.provenance == known
    assert other.provenance == known | {"new_tensors": ["head/kernel", "head/bias"]}

    np.testing.assert_array_equal(other.head.kernel, model.with_classes(5, seed=1).head.kernel)
    assert not np.array_equal(other.head.kernel, model.with_classes(5, seed=2).head.kernel)
    same = model.with_classes(3)
    assert not np.array_equal(same.head.kernel, model.head.kernel)

    other.backbone.set_weights([np.zeros_like(one) for one in other.backbone.get_weights()])
    assert all(np.array_equal(before[path], one) for path, one in values(model).items())


def test_with_classes_keeps_the_precision():
    model = PoolFormerImageClassifier(CONFIG, dtype="mixed_bfloat16").with_classes(2)
    assert model.dtype_policy.name == "mixed_bfloat16"
    with pytest.raises(InputError, match="must name all 2 classes"):
        model.with_classes(2, labels=["one"])


# ---------------------------------------------------------------------------------------
# Frozen stages


def trainable_parts(model):
    """The layers with trainable weights: "stages_0", ..., "head_norm", "head"."""
    paths = [variable.path for variable in model.trainable_variables]
    return {"_".join(path.split("/")[0].split("_")[:2]) for path in paths}


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("stages", "trained"),
    [
        pytest.param(
            0, {"stages_0", "stages_1", "stages_2", "head_norm", "head"}, marks=pytest.mark.slow
        ),
        pytest.param(1, {"stages_1", "stages_2", "head_norm", "head"}, marks=pytest.mark.slow),
        (2, {"stages_2", "head_norm", "head"}),
        pytest.param(3, {"head_norm", "head"}, marks=pytest.mark.slow),
        (None, {"head_norm", "head"}),
    ],
)
def test_what_is_frozen_does_not_move(stages, trained, images, tmp_path):
    PoolFormerImageClassifier(CONFIG.replace(layer_scale_init=0.5)).save(tmp_path / "x.keras")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", num_classes=2)
    model.freeze(stages)
    assert trainable_parts(model) == trained
    assert model.frozen_stages == (3 if stages is None else stages)
    model.compile(keras.optimizers.Adam(0.1), loss=model.default_loss(), run_eagerly=True)
    before = values(model)
    model.fit(images[:, :64, :64], np.array([0, 1]), verbose=0)
    moved = {path for path, one in values(model).items() if not np.array_equal(one, before[path])}
    assert moved <= {variable.path for variable in model.trainable_variables}
    assert {"_".join(path.split("/")[0].split("_")[:2]) for path in moved} == trained


def test_freezing_again_thaws_the_later_stages():
    model = PoolFormerImageClassifier(CONFIG)
    model.freeze()
    model.freeze(1)
    assert trainable_parts(model) == {"stages_1", "stages_2", "head_norm", "head"}
    model.freeze(0)
    assert len(model.trainable_weights) == len(model.weights)
    model.backbone.trainable = False
    assert model.frozen_stages == 3


def test_norms_belong_to_their_stage():
    backbone = PoolFormerBackbone(CONFIG.replace(feature_norms=True))
    backbone.freeze(2)
    assert "stages_1_output_norm/gamma" in [v.path for v in backbone.non_trainable_variables]
    assert trainable_parts(backbone) == {"stages_2"}
    extractor = backbone.feature_extractor()
    assert {v.path.split("/")[0][:8] for v in extractor.trainable_variables} == {"stages_2"}


@pytest.mark.parametrize("stages", [-1, 4, 1.0, True, "P3"])
def test_a_number_of_stages_is_needed(stages):
    with pytest.raises(InputError, match=r"0 to 3\. Received"):
        PoolFormerImageClassifier(CONFIG).freeze(stages)


def test_a_compiled_model_comes_back_frozen(tmp_path, images):
    """With its optimizer's state, whose variables belong to what is trainable."""
    model = PoolFormerImageClassifier(CONFIG)
    model.freeze(2)
    model.compile("adam", loss=model.default_loss(), run_eagerly=True)
    model.fit(images[:, :32, :32], np.array([0, 1]), verbose=0)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert again.frozen_stages == 2
    pairs = zip(again.optimizer.variables, model.optimizer.variables, strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


# ---------------------------------------------------------------------------------------
# Other backends

BACKENDS_SCRIPT = """
import json, sys
import keras, numpy as np
from keras_poolformer import PoolFormerBackbone, PoolFormerConfig, PoolFormerImageClassifier
config = PoolFormerConfig(depths=(1, 2, 1), widths=(8, 12, 16), num_classes=3)
images = np.random.default_rng(0).standard_normal((2, 32, 32, 3), np.float32)
model = PoolFormerImageClassifier(config).with_classes(1)
model.freeze(2)
model.compile("sgd", loss=model.default_loss())
before = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}
model.fit(images, np.float32([1, 2]), verbose=0)
moved = [v.path for v in model.weights
         if not np.array_equal(keras.ops.convert_to_numpy(v), before[v.path])]
backbone = PoolFormerBackbone(config.replace(feature_norms=True))
maps = backbone.feature_extractor(["P2", "P4"])(images)
x = keras.ops.convert_to_numpy(maps["P4"])
model.save_to_preset(sys.argv[1])
again = PoolFormerImageClassifier.from_preset(sys.argv[1], in_channels=1)
out = keras.ops.convert_to_numpy(again(images[..., :1]))
print(json.dumps([keras.backend.backend(), sorted({p.split("/")[0] for p in moved}),
                  [float(x.mean()), float(x.std())], list(out.shape)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, tmp_path):
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-c", BACKENDS_SCRIPT, tmp_path / "mine"],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    name, moved, (mean, deviation), shape = json.loads(done.stdout.splitlines()[-1])
    assert (name, shape) == (backend, [2, 1])
    assert moved == ["head", "head_norm", "stages_2_blocks_0", "stages_2_embedding"]
    assert abs(mean) < 1e-5
    assert abs(deviation - 1) < 1e-2  # a fresh norm of each image
