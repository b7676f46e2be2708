"""Exported .tflite files on a real runtime, LiteRT, against the Keras model."""

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_tflite,
)
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.description import read_description
from keras_poolformer.support.errors import InputError

# Relative L2 error of the logits; measured 4e-7, 5e-4, 9e-3 on these randomized weights.
TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "dynamic_int8": 3e-2}
LABELS = ("cat", "dog", "frog")
TRANSFORM = ImageTransform(size=96, crop_pct=1.0)


@pytest.fixture(scope="module")
def model():
    """A model whose weights were all randomized, with provenance and labels."""
    config = PoolFormerConfig(
        depths=(1, 2), widths=(16, 24), num_classes=3, labels=LABELS, drop_path_rate=0.1
    )
    model = PoolFormerImageClassifier(config, provenance={"transform": TRANSFORM.to_dict()})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        scale = np.prod(variable.shape[:-1]) ** -0.5 if len(variable.shape) > 1 else 0.3
        offset = 0.5 if "gamma" in variable.path else 0.0
        variable.assign(offset + scale * rng.standard_normal(variable.shape))
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A function that exports once for each set of arguments."""
    folder, done = tmp_path_factory.mktemp("exported"), {}

    def export(recipe="fp32", **arguments):
        key = (recipe, *sorted(arguments.items()))
        if key not in done:
            path = folder / f"{len(done)}.tflite"
            done[key] = export_tflite(model, path, recipe=recipe, **arguments)
        return done[key]

    return export


@pytest.mark.parametrize("recipe", TOLERANCES)
def test_logits_equal_keras(model, exported, photographs, recipe):
    result = exported(recipe)
    images = TRANSFORM(photographs)
    expected = np.asarray(model(images))
    received = TFLiteClassifier(result.path).predict(images)
    assert received.dtype == np.float32
    error = np.linalg.norm(received - expected) / np.linalg.norm(expected)
    assert error <= TOLERANCES[recipe]
    assert (received.argmax(1) == expected.argmax(1)).all()
    # What the export reports is measured on other photographs, but is of the same size.
    assert 0 < result.error <= TOLERANCES[recipe]
    assert result.bytes == result.path.stat().st_size


@pytest.mark.parametrize("recipe", TOLERANCES)
def test_builtin_operators_in_one_partition(exported, recipe):
    classifier = TFLiteClassifier(exported(recipe).path)
    operators = set(classifier.operators())
    assert operators
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in operators)
    assert "SHAPE" not in operators  # a dynamic batch would ask for it, and split the graph
    assert classifier.partitions() == 1
    assert classifier.input_shape == (96, 96, 3)


def test_smaller_recipes_are_smaller(exported):
    fp32, fp16, int8 = (exported(recipe).bytes for recipe in TOLERANCES)
    # So few parameters that the names in the graph weigh as much.
    assert int8 < fp16 < 0.9 * fp32


@pytest.mark.first(1)
@pytest.mark.parametrize("recipe", TOLERANCES)
def test_pixels_in_probabilities_out(model, exported, photographs, recipe):
    classifier = TFLiteClassifier(exported(recipe, inputs="pixels", outputs="probabilities").path)
    assert classifier.input_kind == "pixels"
    received = classifier.predict(TRANSFORM.pixels(photographs))
    logits = np.asarray(model(TRANSFORM(photographs)), np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(received, expected, atol=TOLERANCES[recipe])
    assert np.allclose(received.sum(1), 1, atol=1e-5)


@pytest.mark.first(1)
@pytest.mark.parametrize("options", [
    {"do_normalize": False}, {"do_rescale": False, "mean": 127.5, "std": 127.5},
    {"crop_mode": "hf"},
])  # fmt: skip
def test_any_normalization_goes_into_the_graph(model, tmp_path, photographs, options):
    transform = ImageTransform(size=96, crop_pct=1.0, **options)
    path = tmp_path / "m.tflite"
    export_tflite(model, path, inputs="pixels", transform=transform)
    received = TFLiteClassifier(path).predict(transform.pixels(photographs))
    expected = np.asarray(model(transform(photographs)))
    assert np.linalg.norm(received - expected) <= 1e-5 * np.linalg.norm(expected)


def test_the_file_describes_itself(exported):
    description = read_description(exported("fp16").path)
    assert description.recipe == "fp16"
    assert description.labels == LABELS
    assert description.transform == TRANSFORM


def test_four_channels(tmp_path):
    model = PoolFormerImageClassifier(
        PoolFormerConfig(depths=(1,), widths=(8,), in_channels=4, num_classes=2),
        provenance={"transform": TRANSFORM.to_dict()},
    )
    assert export_tflite(model, tmp_path / "m.tflite").error <= 1e-5
    with pytest.raises(InputError, match="RGB"):
        export_tflite(model, tmp_path / "p.tflite", inputs="pixels")


@pytest.mark.parametrize(
    "arguments",
    [{"recipe": "int4"}, {"inputs": "floats"}, {"outputs": "classes"}],
)
def test_unknown_arguments_are_refused(model, tmp_path, arguments):
    with pytest.raises(InputError, match="must be one of"):
        export_tflite(model, tmp_path / "m.tflite", **arguments)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(model, tmp_path):
    (tmp_path / "m.tflite").write_text("precious", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="exists already"):
        export_tflite(model, tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_text(encoding="utf-8") == "precious"


def test_a_transform_without_crop_has_no_size(model, tmp_path):
    with pytest.raises(InputError, match="do_center_crop=False"):
        export_tflite(model, tmp_path / "m.tflite", transform=ImageTransform(do_center_crop=False))
