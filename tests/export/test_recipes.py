"""The table of recipes: what each one says about itself."""

import pytest

from keras_poolformer.export.recipes import ALL_RECIPES, INPUTS, RECIPES, get_recipe
from keras_poolformer.support.errors import InputError


class Converter:
    """The attributes of a `tf.lite.TFLiteConverter` that recipes set."""

    def __init__(self):
        self.optimizations = []
        self.target_spec = type("TargetSpec", (), {"supported_types": []})()
        self.inference_input_type = self.inference_output_type = "float32"


def configured(name, outputs="logits"):
    converter = Converter()
    get_recipe(name).configure(converter, outputs)
    return converter


def test_inputs():
    assert {name: recipe.inputs for name, recipe in ALL_RECIPES.items()} == {
        "fp32": INPUTS,
        "fp16": INPUTS,
        "dynamic_int8": INPUTS,
        "dynamic_int4": INPUTS,
        "int8": ("pixels",),
        "int8_micro": ("pixels",),
        "saved_model": (),
    }


def test_recipes_that_need_calibration():
    assert [name for name, recipe in RECIPES.items() if recipe.needs_calibration] == [
        "dynamic_int4",
        "int8",
        "int8_micro",
    ]


@pytest.mark.parametrize(
    ("name", "shrinks", "types"),
    [
        ("fp32", False, []),
        ("fp16", True, ["float16"]),
        ("dynamic_int8", True, []),
        ("dynamic_int4", True, []),
    ],
)
def test_floats_stay_floats(name, shrinks, types):
    converter = configured(name)
    assert bool(converter.optimizations) == shrinks
    assert [dtype.name for dtype in converter.target_spec.supported_types] == types
    assert converter.inference_input_type == converter.inference_output_type == "float32"


@pytest.mark.parametrize("name", ["int8", "int8_micro"])
@pytest.mark.parametrize(
    ("outputs", "dtype"),
    [("logits", "int8"), ("pyramid", "int8"), ("probabilities", "uint8"), ("embedding", "uint8")],
)
def test_mediapipe_reads_bytes_without_a_sign(name, outputs, dtype):
    converter = configured(name, outputs)
    assert converter.inference_input_type == "uint8"
    assert converter.inference_output_type == dtype


@pytest.mark.parametrize("name", ["int4", "saved_model", "\x1b[31m"])
def test_an_unknown_recipe(name):
    with pytest.raises(InputError, match=r"`recipe` must be one of fp32, .* Received: ") as raised:
        get_recipe(name)
    assert str(raised.value).isprintable()
