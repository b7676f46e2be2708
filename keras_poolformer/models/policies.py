"""The dtype policies of models."""

from typing import Any

import keras

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


def full_precision(policy: Any) -> str:
    """Returns the dtype of images and heads: float32, unless the policy computes in float64."""
    return "float64" if policy.compute_dtype == "float64" else "float32"


def checked_policy(dtype: Any) -> Any:
    """Returns Keras' dtype policy of a name or policy; the global one for None.

    Raises:
        InputError: It is a policy of Keras' own quantization.
    """
    policy: Any = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    if getattr(policy, "quantization_mode", None) is not None:
        raise InputError(
            f"`dtype` must be a policy without quantization, such as 'float32' or "
            f"'mixed_bfloat16': export_tflite quantizes. Received: {shown(policy.name)}"
        )
    return policy
