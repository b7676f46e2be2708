"""Embeddings and feature maps as .tflite files, from classifiers and backbones, by recipe."""

import keras
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerConfig,
    export_tflite,
)
from keras_poolformer.runtime import TFLiteBackbone, TFLiteClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import PHOTOS, randomized_model, relative_error

TRANSFORM = ImageTransform(size=64, crop_pct=1.0)
CONFIG = PoolFormerConfig(depths=(1, 2, 1), widths=(16, 24, 32), num_classes=3)
# Relative L2 error; measured at most 3e-7, 4e-4, 0.012 and 0.044 on these randomized weights.
TOLERANCES = {"fp32": 2e-6, "fp16": 1e-3, "dynamic_int8": 0.03, "int8": 0.1}


@pytest.fixture(scope="module")
def classifier():
    return randomized_model(CONFIG)


@pytest.fixture(scope="module", params=[False, True], ids=["maps", "normed maps"])
def backbone(request):
    return randomized_model(CONFIG.replace(feature_norms=request.param), PoolFormerBackbone)


@pytest.mark.first(1)
@pytest.mark.parametrize("recipe", TOLERANCES)
def test_feature_maps_of_a_backbone(recipe, backbone, tmp_path):
    path = tmp_path / "m.tflite"
    result = export_tflite(
        backbone, path, recipe=recipe, transform=TRANSFORM, calibration=PHOTOS[:12]
    )
    assert result.outputs == "pyramid"
    exported = TFLiteBackbone(path, num_workers=2)
    maps = exported.predict(exported.prepare(PHOTOS[20:24]))
    assert list(maps) == ["P2", "P3", "P4"]
    # By these names other runtimes ask for them, in the signature and in the graph.
    interpreter = Interpreter(str(path))
    signature = {"inputs": ["images"], "outputs": ["P2", "P3", "P4"]}
    assert interpreter.get_signature_list() == {"serving_default": signature}
    assert {one["name"] for one in interpreter.get_output_details()} == {"P2", "P3", "P4"}
    model = keras.Model(backbone.input, backbone.pyramid_outputs)
    expected = model(TRANSFORM(PHOTOS[20:24]))
    errors = {name: relative_error(maps[name], expected[name]) for name in maps}
    assert max(errors.values()) <= TOLERANCES[recipe], errors
    assert 0 < result.error <= TOLERANCES[recipe]


@pytest.mark.first(1)
@pytest.mark.parametrize("recipe", TOLERANCES)
def test_embedding_of_a_classifier(recipe, classifier, tmp_path):
    path = tmp_path / "m.tflite"
    result = export_tflite(
        classifier,
        path,
        recipe=recipe,
        outputs="embedding",
        transform=TRANSFORM,
        calibration=PHOTOS[:12],
    )
    exported = TFLiteClassifier(path)
    received = exported.predict(exported.prepare(PHOTOS[20:24]))
    error = relative_error(received, classifier.embed(TRANSFORM(PHOTOS[20:24])))
    assert error <= TOLERANCES[recipe]
    assert 0 < result.error <= TOLERANCES[recipe]
    with pytest.raises(InputError, match="Received: embedding"):
        exported.classify(PHOTOS[0])


def test_a_classifier_gives_the_maps_of_its_backbone(classifier, tmp_path):
    path = tmp_path / "m.tflite"
    result = export_tflite(classifier, path, outputs="pyramid", transform=TRANSFORM)
    assert result.error <= 1e-5
    assert TFLiteBackbone(path).output_names
    with pytest.raises(InputError, match="must have one output, as a classifier has"):
        TFLiteClassifier(path)


@pytest.mark.slow
def test_a_classifier_without_classes_gives_its_embedding(classifier, tmp_path):
    model = classifier.with_classes(0)
    result = export_tflite(model, tmp_path / "m.tflite", transform=TRANSFORM)
    assert result.outputs == "embedding"
    received = TFLiteClassifier(tmp_path / "m.tflite").predict(TRANSFORM(PHOTOS[20:24]))
    assert relative_error(received, classifier.embed(TRANSFORM(PHOTOS[20:24]))) <= 2e-6
    for outputs in ("logits", "probabilities"):
        with pytest.raises(InputError, match=f"without classes has no {outputs}"):
            export_tflite(model, tmp_path / "no.tflite", outputs=outputs, transform=TRANSFORM)


def test_something_else_is_no_model(tmp_path):
    with pytest.raises(InputError, match=r"must be a MetaFormerImageClassifier, .* Sequential"):
        export_tflite(keras.Sequential(), tmp_path / "m.tflite")


def test_a_backbone_has_no_logits(backbone, tmp_path):
    with pytest.raises(InputError, match=r"'pyramid'\. Received: 'logits'"):
        export_tflite(backbone, tmp_path / "m.tflite", outputs="logits", transform=TRANSFORM)
    assert not list(tmp_path.iterdir())
