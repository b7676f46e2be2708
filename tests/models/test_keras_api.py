"""What Keras users do with any model: names, dtype policies, data formats, quantization."""

import warnings
from typing import Any

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    save_torch_weights,
)
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.support.errors import InputError
from tests.helpers import error_line

CONFIG = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=3)
IMAGES = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "x.keras"
    PoolFormerImageClassifier(CONFIG, dtype="mixed_float16").save(path)
    return path


@pytest.mark.slow
def test_several_models_in_one_have_names_of_their_own(path, tmp_path):
    parts: list[Any] = [PoolFormerBackbone.from_preset(path, dtype="float32") for _ in range(2)]
    parts += [PoolFormerImageClassifier(CONFIG).backbone, PoolFormerBackbone(CONFIG, name="mine")]
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Add()([part(inputs) for part in parts]))
    names = [part.name for part in parts]
    assert len(set(names)) == 4 and names[-1] == "mine"
    assert all(name.startswith("poolformer_backbone") for name in names[:3])
    model.save(tmp_path / "all.keras")
    again: Any = keras.saving.load_model(tmp_path / "all.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))

    parts[1].save(tmp_path / "second.keras")  # whatever its name, its weights are found
    alone = PoolFormerBackbone.from_preset(tmp_path / "second.keras")
    np.testing.assert_array_equal(alone(IMAGES), parts[1](IMAGES))
    again = keras.saving.load_model(tmp_path / "second.keras")
    assert again.name == parts[1].name


@pytest.mark.parametrize("overrides", [{}, {"num_classes": 2}, {"load_weights": False}])
def test_a_preset_in_another_precision(overrides, path):
    model = PoolFormerImageClassifier.from_preset(path, dtype="float32", name="mine", **overrides)
    assert (model.dtype_policy.name, model.name) == ("float32", "mine")
    block = model.backbone.get_layer("stages_1_blocks_0")
    assert block.mlp.fc1.dtype_policy.name == "float32"
    if not overrides:
        mixed = PoolFormerImageClassifier.from_preset(path)
        assert mixed.dtype_policy.name == "mixed_float16"
        difference = np.linalg.norm(np.subtract(model(IMAGES), mixed(IMAGES)))
        assert 0 < difference < 0.01 * np.linalg.norm(model(IMAGES))


def test_the_data_format_of_keras_does_not_matter():
    model: Any = PoolFormerImageClassifier(CONFIG)
    expected = model(IMAGES)
    keras.config.set_image_data_format("channels_first")
    try:
        other = PoolFormerImageClassifier(CONFIG)
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other(IMAGES), expected)
        assert other.compute_output_shape((None, 32, 32, 3)) == (None, 3)
        folded: Any = fold(other)(IMAGES)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(folded, expected, atol=1e-6)


@pytest.mark.slow
def test_a_model_quantized_by_keras_is_saved_and_loaded(tmp_path):
    model: Any = PoolFormerImageClassifier(CONFIG.replace(initializer_range=0.5))
    model.backbone.trainable = False
    before = np.asarray(model(IMAGES))
    model.quantize("int8")
    assert model.head.kernel.dtype == "int8"
    expected = np.asarray(model(IMAGES))
    assert 0 < np.linalg.norm(expected - before) < 0.02 * np.linalg.norm(before)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), expected)

    model.save(tmp_path / "x.keras")
    model.save_to_preset(tmp_path / "folder")
    loaded: Any = keras.saving.load_model(tmp_path / "x.keras")
    for again in (
        loaded,
        PoolFormerImageClassifier.from_preset(tmp_path / "x.keras"),
        PoolFormerImageClassifier.from_preset(tmp_path / "folder"),
    ):
        np.testing.assert_array_equal(again(IMAGES), expected)
        paths = [weight.path for weight in model.trainable_weights]
        assert [weight.path for weight in again.trainable_weights] == paths

    other: Any = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", num_classes=4)
    np.testing.assert_array_equal(other.embed(IMAGES), model.embed(IMAGES))
    assert other.head.kernel.dtype == model.with_classes(4).head.kernel.dtype == "float32"
    other = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", head="pool_norm")
    np.testing.assert_array_equal(other.head.get_weights()[0], model.head.get_weights()[0])
    backbone = PoolFormerBackbone.from_preset(tmp_path / "x.keras")
    np.testing.assert_array_equal(backbone(IMAGES), model.backbone(IMAGES))
    with pytest.raises(InputError, match="floating-point weights: export_tflite"):
        fold(model)
    with pytest.raises(InputError, match="floating-point weights: export_tflite"):
        save_torch_weights(model, tmp_path / "x.safetensors")


def test_other_quantization_is_refused_before_anything_changes():
    model = PoolFormerImageClassifier(CONFIG)
    before = model.get_weights()
    quantizer = keras.quantizers.AbsMaxQuantizer(axis=0, value_range=(-100, 100))
    custom = keras.quantizers.Int8QuantizationConfig(weight_quantizer=quantizer)
    for part, options in (
        (model, {"mode": "int4"}),
        (model, {"mode": "float8"}),
        (model, {"mode": "int8", "config": custom}),
        (model.backbone, {"mode": "int8"}),
        (PoolFormerImageClassifier(CONFIG.replace(num_classes=0)), {"mode": "int8"}),
    ):
        with pytest.raises((InputError, ValueError), match="int8"):
            part.quantize(**options)
    assert all(map(np.array_equal, model.get_weights(), before))
    with pytest.raises(InputError, match=r"without quantization.*Received: 'int8_from_float32'"):
        PoolFormerImageClassifier(CONFIG, dtype="int8_from_float32")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_model_around_ours_can_be_quantized_and_saved(mode, tmp_path):
    ours = PoolFormerImageClassifier(CONFIG)
    model = keras.Sequential([keras.Input((32, 32, 3)), ours, keras.layers.Dense(4)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras names each layer that stays as it is
        model.quantize(mode)
    model.save(tmp_path / "m.keras")
    again: Any = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))


def test_an_error_within_a_layer_stays_one_line():
    """Keras shows all arguments of the call below other errors."""

    class Refusing(keras.layers.Layer):
        def call(self, inputs):
            raise InputError("no")

    assert error_line(Refusing(), np.zeros((2, 3))) == "no"
