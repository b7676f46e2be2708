"""Every family in every recipe of floats: on LiteRT, against the Keras model."""

import numpy as np
import pytest

from keras_poolformer import export_saved_model, export_tflite
from keras_poolformer.export.saved_model import examine
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.description import read_description
from keras_poolformer.support.errors import InputError
from tests.export.family import FAMILIES, MIXTURES, TRANSFORM, family_model
from tests.helpers import relative_error

# Relative L2 error of the logits. Measured: at most 6e-7, 2e-3 and 3e-2.
TOLERANCES = {"fp32": 5e-6, "fp16": 6e-3, "dynamic_int8": 0.1}
# Only LiteRT's own kernel has 8-bit weights and float inputs, and is fast at 7 x 7.
OUTSIDE = {("convformer", "dynamic_int8"): 2, ("caformer", "dynamic_int8"): 1}


def export(name, path, recipe, **options):
    model = family_model((FAMILIES | MIXTURES)[name])
    return model, export_tflite(model, path, recipe=recipe, transform=TRANSFORM, **options)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        *(("fp32", name) for name in FAMILIES),
        ("dynamic_int8", "convformer"),
        *((recipe, name) for recipe in ("fp16", "dynamic_int8") for name in FAMILIES),
        *((recipe, name) for recipe in TOLERANCES for name in MIXTURES),
    ],
)
def test_it_is_close_and_one_partition(recipe, name, tmp_path, photographs):
    model, result = export(name, tmp_path / "m.tflite", recipe)
    classifier = TFLiteClassifier(result.path)
    images = TRANSFORM(photographs[:4])
    expected = np.asarray(model(images))
    if model.config.num_classes:
        assert relative_error(classifier.predict(images), expected) <= TOLERANCES[recipe]
    print(name, recipe, result.error)
    assert result.error <= TOLERANCES[recipe]
    assert not any(operator.startswith(("Flex", "CUSTOM")) for operator in result.operators)
    if name in FAMILIES:
        outside = OUTSIDE.get((name, recipe), 0)
        assert classifier.operators_outside_xnnpack() == ["DEPTHWISE_CONV_2D"] * outside
        assert result.partitions == 1 + outside


@pytest.mark.slow
def test_depthwise_convolutions_are_split_where_it_pays(tmp_path):
    _, split = export("convformer", tmp_path / "a.tflite", "fp16")
    assert (split.operators["DEPTHWISE_CONV_2D"], split.operators["SLICE"]) == (6, 6)
    _, whole = export("convformer", tmp_path / "b.tflite", "dynamic_int8")
    assert (whole.operators["DEPTHWISE_CONV_2D"], whole.operators.get("SLICE", 0)) == (2, 0)


def test_the_file_describes_itself(tmp_path, photographs):
    labels = ("a", "b", "c", "d", "e")
    _, result = export(
        "caformer",
        tmp_path / "m.tflite",
        "fp32",
        labels=labels,
        inputs="pixels",
        outputs="probabilities",
    )
    description = read_description(result.path)
    assert description.labels == labels
    assert description.transform == TRANSFORM
    scores = TFLiteClassifier(result.path).classify(photographs[0])
    assert {label for label, _ in scores} == set(labels)
    assert sum(score for _, score in scores) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_embedding_before_the_mlp_of_the_head(tmp_path):
    _, result = export("caformer", tmp_path / "m.tflite", "fp32", outputs="embedding")
    assert result.error <= TOLERANCES["fp32"]


@pytest.mark.slow
def test_pyramid(tmp_path):
    _, result = export("convformer", tmp_path / "m.tflite", "fp32", outputs="pyramid")
    assert result.error <= TOLERANCES["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caformer", "randformer", "poolformerv2"])
def test_saved_model(name, tmp_path):
    """Measured 3e-7."""
    model = family_model(FAMILIES[name], provenance={"transform": TRANSFORM.to_dict()})
    export_saved_model(model, tmp_path / "m")
    assert examine(model, tmp_path / "m").error <= 5e-6


def test_random_mixing_at_another_size_is_rejected(tmp_path):
    model = family_model(FAMILIES["randformer"])
    with pytest.raises(InputError, match="32"):
        export_tflite(model, tmp_path / "m.tflite", transform=TRANSFORM.replace(size=64))
    assert not list(tmp_path.iterdir())
