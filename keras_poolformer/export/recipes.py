"""How weights and arithmetic are stored in a .tflite file: one named recipe each."""

from collections.abc import Callable
from dataclasses import dataclass

from keras_poolformer.runtime.description import DESCRIPTION, EXTRA, LABELS, SCORES
from keras_poolformer.support.errors import InputError
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
OUTPUTS = (*SCORES, "embedding", "pyramid")


def device_inputs(config) -> str:
    """What a file for devices takes: what cameras give, and MediaPipe Tasks wants.

    Args:
        config: Config of the model.
    """
    return "pixels" if config.in_channels == 3 else "normalized"


@dataclass(frozen=True)
class Recipe:
    """A way to export.

    Args:
        name: that users type.
        description: when to use it.
        configure: sets up a `tf.lite.TFLiteConverter`.
        is_integer: Whether the arithmetic is that of 8-bit integers, whose ranges are chosen by
            calibration images.
        has_gelu: Whether GELU is left to a kernel of its own.
    """

    name: str
    description: str
    configure: Callable
    is_integer: bool = False
    has_gelu: bool = True


def fp32(converter):
    """Single precision: the reference that the others are measured against."""


def fp16(converter):
    """Half-precision weights: half the size, for GPUs; CPUs expand them when loading."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def dynamic_int8(converter):
    """8-bit weights, floats between: the first choice on phone and desktop CPUs."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def int8(converter):
    """8-bit integers throughout, uint8 pixels in, int8 out (probabilities uint8): for NPUs."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8


def int8_micro(converter):
    """int8 with GELU as a table, the same bytes: for microcontrollers (TFLite Micro)."""
    int8(converter)


RECIPES = {
    configure.__name__: Recipe(
        configure.__name__,
        configure.__doc__ or "",
        configure,
        is_integer=configure in (int8, int8_micro),
        has_gelu=configure is not int8_micro,
    )
    for configure in (fp32, fp16, dynamic_int8, int8, int8_micro)
}
INTEGER_RECIPES = tuple(name for name, recipe in RECIPES.items() if recipe.is_integer)


def get_recipe(name):
    """Returns a recipe by its name."""
    if name not in RECIPES:
        raise InputError(f"`recipe` must be one of {', '.join(RECIPES)}. Received: {name!r}")
    return RECIPES[name]
