"""What Keras users do with any model: names, dtype policies, data formats, quantization."""

import warnings

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.errors import InputError
from keras_poolformer.export.folding import fold

CONFIG = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=3)
IMAGES = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "x.keras"
    PoolFormerImageClassifier(CONFIG, dtype="mixed_float16").save(path)
    return path


def test_several_models_in_one_have_names_of_their_own(path, tmp_path):
    parts = [PoolFormerBackbone.from_preset(path, dtype="float32") for _ in range(2)]
    parts += [PoolFormerImageClassifier(CONFIG).backbone, PoolFormerBackbone(CONFIG, name="mine")]
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Add()([part(inputs) for part in parts]))
    names = [part.name for part in parts]
    assert len(set(names)) == 4 and names[-1] == "mine"
    assert all(name.startswith("poolformer_backbone") for name in names[:3])
    model.save(tmp_path / "all.keras")
    again = keras.saving.load_model(tmp_path / "all.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))

    parts[1].save(tmp_path / "second.keras")  # whatever its name, its weights are found
    alone = PoolFormerBackbone.from_preset(tmp_path / "second.keras")
    np.testing.assert_array_equal(alone(IMAGES), parts[1](IMAGES))
    assert keras.saving.load_model(tmp_path / "second.keras").name == parts[1].name


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


def test_the_data_format_of_keras_does_not_matter(monkeypatch):
    model = PoolFormerImageClassifier(CONFIG)
    expected = model(IMAGES)
    keras.config.set_image_data_format("channels_first")
    try:
        other = PoolFormerImageClassifier(CONFIG)
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other(IMAGES), expected)
        assert other.compute_output_shape((None, 32, 32, 3)) == (None, 3)
        folded = fold(other)(IMAGES)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(folded, expected, atol=1e-6)


@pytest.mark.parametrize("called", [False, True])
def test_keras_quantization_is_refused_before_anything_changes(called):
    model = PoolFormerImageClassifier(CONFIG)
    if called:
        model(IMAGES)
    before = model.get_weights()
    for part in (model, model.backbone):
        with pytest.raises(InputError, match=r"export_tflite\(model, path, recipe='int8'"):
            part.quantize("int8")
    assert all(map(np.array_equal, model.get_weights(), before))
    with pytest.raises(InputError, match=r"without quantization.*Received: 'int8_from_float32'"):
        PoolFormerImageClassifier(CONFIG, dtype="int8_from_float32")


def test_a_model_around_ours_can_be_quantized_and_saved(tmp_path):
    ours = PoolFormerImageClassifier(CONFIG)
    model = keras.Sequential([keras.Input((32, 32, 3)), ours, keras.layers.Dense(4)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.quantize("int8")
    assert any("head stays in floating point" in str(one.message) for one in caught)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
