"""The segmenter as a Keras model: made, trained, saved, frozen, given other classes."""

import os

import keras
import numpy as np
import pytest
from PIL import Image

from keras_poolformer import (
    ImageTransform,
    MetaFormerConfig,
    MetaFormerSegmenter,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
)
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.support.errors import InputError
from tests.helpers import error_line, randomized_model, run_python
from tests.segmenters import CONFIG, LABELS, PALETTE, SHALLOW, noise

IMAGES = noise(2, 64, 96, 3)


@pytest.fixture(scope="module")
def model():
    return randomized_model(SHALLOW.replace(labels=LABELS, palette=PALETTE), PoolFormerSegmenter)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("segmenter") / "x.keras"
    model.save(path)
    return path


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def assert_same_weights(received, expected, paths=None):
    received, expected = values(received), values(expected)
    for path in expected if paths is None else paths:
        np.testing.assert_array_equal(received[path], expected[path], err_msg=path)


def test_from_variant_is_the_released_architecture():
    model = PoolFormerSegmenter.from_variant(
        "poolformer_s12", head_dropout_rate=0.2, depths=(1,) * 4
    )
    config = model.config
    assert (config.head, config.feature_norms, config.num_classes) == ("semantic_fpn", True, 150)
    assert (config.head_dropout_rate, config.drop_path_rate) == (0.2, 0)
    assert model.output_shape == (None, None, None, 150)
    assert model.name.startswith("poolformer_segmenter")
    assert type(model.backbone) is PoolFormerBackbone


def test_any_backbone_of_the_family():
    widths = {"depths": (1, 1, 1, 1), "widths": (8, 8, 32, 32), "num_classes": 3}
    model = MetaFormerSegmenter.from_variant("caformer_s18", **widths)
    assert model.name.startswith("metaformer_segmenter")
    assert model(noise(1, 64, 64, 3)).shape == (1, 16, 16, 3)
    shallow = MetaFormerConfig(
        depths=(1, 1), widths=(8, 8), num_classes=3, head="semantic_fpn", feature_norms=True
    )
    assert MetaFormerSegmenter(shallow)(noise(1, 64, 64, 3)).shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"head": "norm_pool"}, "head='norm_pool'"),
        ({"feature_norms": False}, "feature_norms=False"),
        ({"feature_norms": ["P3", "P4"]}, "feature_norms=('P3', 'P4')"),
        ({"head_mlp_ratio": 4}, "head_mlp_ratio=4"),
        ({"num_classes": 1}, "num_classes=1"),
        ({"problem_type": "regression"}, "'regression'"),
        ({"strides": (4, 2, 2, 1)}, "strides=(4, 2, 2, 1)"),
        ({"paddings": (2, 1, 1, 0)}, "paddings=(2, 1, 1, 0)"),
    ],
)
def test_what_is_no_segmenter_is_rejected(fields, words):
    assert words in error_line(PoolFormerSegmenter, CONFIG.replace(**fields))


def test_a_classifier_rejects_a_segmenters_head():
    message = error_line(PoolFormerImageClassifier, CONFIG.replace(feature_norms=False))
    assert "MetaFormerSegmenter has" in message


@pytest.mark.parametrize("palette", ["red", [(1, 2)] * 5, [(1, 2, 256)] * 5, [(1, 2, 3)] * 4])
def test_what_is_no_palette_is_rejected(palette):
    with pytest.raises(InputError, match="palette"):
        CONFIG.replace(palette=palette)


def test_the_config_survives_json():
    config = CONFIG.replace(palette=np.array(PALETTE), labels=LABELS)
    assert config.palette == PALETTE
    assert config.to_dict()["palette"][0] == [120, 120, 120]
    assert PoolFormerConfig(**config.to_dict()) == config


def test_keras_file_round_trip(model, saved):
    for again in (keras.saving.load_model(saved), PoolFormerSegmenter.from_preset(saved)):
        assert type(again) is PoolFormerSegmenter
        assert again.config == model.config
        assert (again.labels, again.palette) == (LABELS, PALETTE)
        np.testing.assert_array_equal(again(IMAGES), model(IMAGES))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PoolFormerBackbone", "PoolFormerSegmenter"])
def test_from_preset_needs_no_other_import(saved, name):
    code = f"from keras_poolformer import {name} as m; print(m.from_preset({str(saved)!r}).config)"
    assert "head='semantic_fpn'" in run_python("-c", code).stdout


def test_save_to_preset(model, tmp_path):
    model.save_to_preset(tmp_path / "folder")
    again = MetaFormerSegmenter.from_preset(tmp_path / "folder")
    assert type(again) is MetaFormerSegmenter and again.transform == model.transform
    assert_same_weights(again, model)


@pytest.mark.slow
def test_a_saved_segmenters_parts(model, saved):
    backbone = PoolFormerBackbone.from_preset(saved)
    assert_same_weights(backbone, model, values(backbone))
    classifier = PoolFormerImageClassifier.from_preset(saved, num_classes=7)
    assert (classifier.config.head, classifier.labels) == ("norm_pool", None)
    new = {"head/kernel", "head/bias", "head_norm/gamma", "head_norm/beta"}
    assert set(classifier.provenance["new_tensors"]) == new
    assert_same_weights(classifier, model, values(classifier).keys() - new)


@pytest.mark.first(1)
@pytest.mark.parametrize("source_class", [PoolFormerImageClassifier, PoolFormerBackbone])
def test_a_saved_classifiers_weights(source_class, tmp_path):
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=3, labels=("a", "b", "c"))
    source = randomized_model(config, source_class)
    source.save(tmp_path / "x.keras")
    model = PoolFormerSegmenter.from_preset(tmp_path / "x.keras", num_classes=4, neck_width=16)
    assert (model.labels, model.config.num_classes, model.config.neck_width) == (None, 4, 16)
    new = set(model.provenance["new_tensors"])
    assert new == {p for p in values(model) if p.startswith(("neck", "head")) or "output_norm" in p}
    assert_same_weights(model, source, values(model).keys() - new)
    same = PoolFormerSegmenter.from_preset(tmp_path / "x.keras")  # another task: a new head anyway
    assert same.labels is None and "head/kernel" in same.provenance["new_tensors"]


def test_other_classes(model, saved):
    palette = [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    seeded = model.with_classes(3, ["a", "b", "c"], palette, seed=1)
    for other in (seeded, PoolFormerSegmenter.from_preset(saved, num_classes=3)):
        assert other.provenance["new_tensors"] == ["head/kernel", "head/bias"]
        assert_same_weights(other, model, values(model).keys() - {"head/kernel", "head/bias"})
        assert other(IMAGES).shape[-1] == 3
    assert other.palette is None
    kernel = seeded.head.kernel.numpy()
    np.testing.assert_array_equal(model.with_classes(3, seed=1).head.kernel, kernel)
    assert 0.005 < kernel.std() < 0.02


@pytest.mark.first(1)
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fit_ignores_255_and_says_so_in_the_provenance(jit_compile):
    model = PoolFormerSegmenter(SHALLOW)
    before = values(model)
    model.compile(keras.optimizers.SGD(1.0), model.default_loss(), jit_compile=jit_compile)
    masks = np.full((2, 64, 96), 255, np.uint8)
    history = model.fit(IMAGES, masks, verbose=0)
    assert history.history["loss"] == [0]
    after = values(model)
    for path in [variable.path for variable in model.trainable_variables]:
        np.testing.assert_array_equal(after[path], before[path], err_msg=path)
    masks[:, 20:, 30:] = 3
    losses = model.fit(IMAGES, masks, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.provenance["trained"]
    assert not np.array_equal(values(model)["neck_output_0/kernel"], before["neck_output_0/kernel"])


def test_freezing(tmp_path):
    model = PoolFormerSegmenter(SHALLOW)
    model.freeze(1)
    assert model.frozen_stages == 1
    paths = {variable.path for variable in model.trainable_variables}
    assert not any(path.startswith("stages_0") for path in paths)
    assert {"stages_1_output_norm/gamma", "neck_lateral_0/kernel", "head/kernel"} <= paths
    model.save(tmp_path / "x.keras")
    again = PoolFormerSegmenter.from_preset(tmp_path / "x.keras")
    assert {variable.path for variable in again.trainable_variables} == paths


@pytest.mark.first(1)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    model = randomized_model(SHALLOW, PoolFormerSegmenter)
    mixed = PoolFormerSegmenter(SHALLOW, dtype=policy)
    mixed.set_weights(model.get_weights())
    logits, expected = np.asarray(mixed(IMAGES)), np.asarray(model(IMAGES))
    assert logits.dtype == np.float32
    difference = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 1e-5 < difference < 0.05  # measured 6e-3 and 8e-4
    mixed.compile("sgd", mixed.default_loss())
    assert np.isfinite(mixed.fit(IMAGES, np.zeros((2, 64, 96)), verbose=0).history["loss"][0])


def test_dropout_drops_whole_channels():
    model = PoolFormerSegmenter(SHALLOW.replace(head_dropout_rate=0.5, segmentation_width=64))
    layer = model.get_layer("head_dropout")
    ones = np.ones((3, 4, 4, 64), np.float32)
    kept = np.asarray(layer(ones, training=True))
    assert set(np.unique(kept)) == {0, 2}
    assert (kept == kept[:, :1, :1]).all()
    assert not np.array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(layer(ones), ones)


def test_predict_labels_takes_what_images_come_as(photographs):
    model = randomized_model(SHALLOW, PoolFormerSegmenter)
    model.transform = segmentation_transform(64)
    photo = Image.open(photographs[0]).convert("RGB").resize((90, 70))
    expected = model.predict_labels(photo)
    assert expected.shape == (70, 90)
    array = np.asarray(photo)
    np.testing.assert_array_equal(model.predict_labels(array), expected)
    for several in ([photo, photographs[1]], [array, photographs[1]]):
        first, second = model.predict_labels(several)
        np.testing.assert_array_equal(first, expected)
        assert second.shape != first.shape
    np.testing.assert_array_equal(model.predict_labels(array[None])[0], expected)


def test_overlay_is_half_picture_half_palette(model, photographs):
    pixels = np.asarray(Image.open(photographs[0]).convert("RGB").resize((60, 40))).astype(float)
    labels = np.arange(2400).reshape(40, 60) % 5
    labels[:10] = 255  # ignored
    drawn = np.asarray(model.overlay(pixels.astype(np.uint8), labels)).astype(float)
    np.testing.assert_array_equal(drawn[:10], pixels[:10])
    expected = (pixels + np.array(PALETTE)[np.where(labels == 255, 0, labels)]) / 2
    assert np.abs(drawn - expected)[10:].max() <= 0.5


def test_predict_labels_rejects_what_crops(photographs):
    model = PoolFormerSegmenter(SHALLOW)
    model.transform = ImageTransform(size=64)
    assert "do_center_crop=True" in error_line(model.predict_labels, photographs[0])
    gray = PoolFormerSegmenter(SHALLOW.replace(in_channels=1))
    assert "in_channels=1" in error_line(gray.predict_labels, photographs[0])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(model, saved, backend, tmp_path):
    pytest.importorskip(backend)
    code = f"""
import numpy as np, keras
from keras_poolformer import PoolFormerSegmenter
images = np.load({str(tmp_path / "images.npy")!r})
model = PoolFormerSegmenter.from_preset({str(saved)!r})
np.save({str(tmp_path / "logits.npy")!r}, keras.ops.convert_to_numpy(model(images)))
model.compile("sgd", model.default_loss())
model.fit(images, np.zeros((len(images), *images.shape[1:3])), verbose=0)
"""
    for size in ((64, 96), (61, 93)):
        images = noise(2, *size, 3)
        np.save(tmp_path / "images.npy", images)
        environment = os.environ | {"KERAS_BACKEND": backend}
        done = run_python("-c", code, env=environment, timeout=600)  # JAX compiles for a minute
        assert done.returncode == 0, done.stderr
        received, expected = np.load(tmp_path / "logits.npy"), np.asarray(model(images))
        assert np.linalg.norm(received - expected) <= 3e-6 * np.linalg.norm(expected)
