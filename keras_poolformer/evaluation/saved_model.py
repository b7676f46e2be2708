"""The network of a SavedModel that this package exported; TensorFlow is imported when it loads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.patterns import without_patterns

SIGNATURE = "normalized"


@dataclass(frozen=True)
class SavedNetwork:
    """The signature of a SavedModel that takes prepared images and returns logits.

    Args:
        signature: The signature, as TensorFlow loads it.
    """

    signature: Any

    @property
    def num_classes(self) -> int:
        """Number of logits of an image or pixel."""
        return self.signature.structured_outputs["logits"].shape[-1]

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self.signature.structured_input_signature[1]["images"].shape[-1]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits of prepared images (N, H, W, channels)."""
        return self.signature(images=images)["logits"].numpy()


def load_saved_model(path: Path) -> SavedNetwork:
    """Loads a SavedModel.

    Args:
        path: Its folder.

    Raises:
        InputError: It cannot be loaded, or does not take images and return logits.
    """
    import tensorflow as tf

    try:
        with without_patterns(path) as folder:
            signatures = tf.saved_model.load(folder).signatures
    except (AttributeError, LookupError, OSError, ValueError, tf.errors.OpError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} is not a usable SavedModel: {first_line}") from None
    signature = signatures.get(SIGNATURE)
    if signature is None:
        raise InputError(
            f"{path} must have the signature {SIGNATURE!r}. Received: {', '.join(signatures)}"
        )
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if list(inputs) != ["images"] or "logits" not in outputs:
        raise InputError(
            f"{path}: the signature {SIGNATURE!r} must take images and return logits. "
            f"Received: {', '.join(inputs)} -> {', '.join(outputs)}"
        )
    return SavedNetwork(signature)
