"""Keras' own quantization, which has integer kernels only for the last layer."""

from typing import Any

from keras_poolformer.support.errors import InputError

MODE = "int8"
REMEDY = "export_tflite(model, path, recipe='int8' or 'dynamic_int8') quantizes all layers"


def is_quantized(model: Any) -> bool:
    """Whether the last layer of a model was quantized by Keras."""
    return getattr(getattr(model, "head", None), "quantization_mode", None) is not None


def refuse_quantized(model: Any) -> None:
    """Raises an InputError if the last layer holds 8-bit integers instead of weights."""
    if is_quantized(model):
        raise InputError(
            f"the model must have floating-point weights: {REMEDY} from those. Received: a model "
            "that Keras quantized"
        )
