"""How weights and arithmetic are stored in an exported file: one row of a table for each recipe."""

from dataclasses import dataclass
from typing import Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.runtime.description import DESCRIPTION, EXTRA, LABEL_MAP, LABELS, SCORES
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.output_folders import OutputFolder

SAVED_MODEL = OutputFolder(
    "a SavedModel of export",
    (
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-?????-of-?????",
        f"{EXTRA}/{DESCRIPTION}",
        f"{EXTRA}/{LABELS}",
    ),
    markers=(f"{EXTRA}/{DESCRIPTION}",),
    folders=("assets",),
)
INPUTS = ("normalized", "pixels")
OUTPUTS = (*SCORES, LABEL_MAP, "embedding", "pyramid")


def device_inputs(config: MetaFormerConfig) -> str:
    """Returns what a file for devices takes: what cameras give and MediaPipe Tasks requires.

    Args:
        config: Config of the model.
    """
    return "pixels" if config.in_channels == 3 else "normalized"


@dataclass(frozen=True)
class Recipe:
    """A way to export.

    Args:
        name: Name that selects the recipe.
        weights: dtype in which the converter stores the weights.
        has_four_bits: Whether the weights of 1x1 convolutions have 4 bits.
        is_integer: Whether all arithmetic is done in 8-bit integers.
        needs_calibration: Whether calibration images choose how numbers are rounded.
        inputs: Kinds of input that a file can take; the first is the default.
        output_dtype: dtype of the file's outputs.
        byte_outputs: Outputs that are uint8 instead, because MediaPipe Tasks reads no signed bytes.
        split_depthwise: Whether 7 x 7 depthwise convolutions become sums of smaller ones: XNNPACK
            is slow at large ones, unlike LiteRT's own kernel, which dynamic_int8 uses.
        gelu_as_table: Whether GELU is a table of its results instead of an operator.
        folder: Kind of folder that is written, or None for a .tflite file.
    """

    name: str
    weights: str = "float32"
    has_four_bits: bool = False
    is_integer: bool = False
    needs_calibration: bool = False
    inputs: tuple[str, ...] = INPUTS
    output_dtype: str = "float32"
    byte_outputs: tuple[str, ...] = ()
    split_depthwise: bool = True
    gelu_as_table: bool = False
    folder: OutputFolder | None = None

    def configure(self, converter: Any, outputs: str) -> None:
        """Sets up a converter.

        Args:
            converter: `tf.lite.TFLiteConverter` to set up.
            outputs: What the file returns, one of `OUTPUTS`.
        """
        import tensorflow as tf

        if self.weights != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.weights == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if self.is_integer:
            dtype = "uint8" if outputs in self.byte_outputs else self.output_dtype
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.as_dtype(dtype)


_INTEGER: dict[str, Any] = {
    "weights": "int8",
    "is_integer": True,
    "needs_calibration": True,
    "inputs": ("pixels",),
    "output_dtype": "int8",
    "byte_outputs": ("probabilities", LABEL_MAP, "embedding"),
}
_TFLITE = (
    # Single precision: the reference that the others are measured against.
    Recipe("fp32"),
    # Half-precision weights: half the size, for GPUs; CPUs expand them when loading.
    Recipe("fp16", weights="float16"),
    # 8-bit weights, floats in between: the first choice for the CPUs of phones and desktops.
    Recipe("dynamic_int8", weights="int8", split_depthwise=False),
    # The same with 4-bit weights where most of them are: the smallest file, about as fast.
    Recipe(
        "dynamic_int4",
        weights="int8",
        has_four_bits=True,
        needs_calibration=True,
        split_depthwise=False,
    ),
    # 8-bit integers throughout: for NPUs.
    Recipe("int8", **_INTEGER),
    # The same bytes as int8 with GELU as a table: for microcontrollers (TFLite Micro).
    Recipe("int8_micro", **_INTEGER, gelu_as_table=True),
)
SAVED_MODEL_RECIPE = Recipe("saved_model", inputs=(), folder=SAVED_MODEL)

RECIPES = {recipe.name: recipe for recipe in _TFLITE}
ALL_RECIPES = RECIPES | {SAVED_MODEL_RECIPE.name: SAVED_MODEL_RECIPE}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe of a .tflite file by its name.

    Raises:
        InputError: There is no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"`recipe` must be one of {', '.join(RECIPES)}. Received: {shown(name)}")
    return RECIPES[name]
