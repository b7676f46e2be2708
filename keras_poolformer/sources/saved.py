"""A model that Keras saved: its description and its weights, before a model is built for them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.provenance import Provenance
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

DTYPES = ("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16")
# What was trainable; older files have the second, newer ones the third.
TRAINABLE_FIELDS = ("trainable", "frozen_stages", "trainable_state")


@dataclass(frozen=True)
class SavedDescription:
    """What a file or folder says about its model.

    Args:
        class_name: Name of the model's class in this package.
        config: Architecture of the model.
        provenance: Where its weights come from.
        dtype: Name of its dtype policy.
        trainable: What was trainable, as far as the file says: `TRAINABLE_FIELDS`.
        quantized: Whether Keras quantized its last layer.
    """

    class_name: str
    config: MetaFormerConfig
    provenance: Provenance
    dtype: str
    trainable: dict[str, Any]
    quantized: bool

    @property
    def is_backbone(self) -> bool:
        """Whether the model has no head."""
        return self.class_name.endswith("Backbone")


class WeightFiles(NamedTuple):
    """The HDF5 files of a model's weights, as `keras.Model.load_weights` takes them.

    Args:
        model: Path of the weights of the model, or of its backbone if the head has its own file.
        head: Path of the weights that are not the backbone's, or None.
    """

    model: Path
    head: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SavedWeights(ABC):
    """Weights that are read once a model for them is there.

    Args:
        name: What errors call the file or folder.
        path: Path of the file or folder.
        description: What it says about its model.
    """

    name: str
    path: Path
    description: SavedDescription

    @abstractmethod
    def extract(self, folder: Path) -> WeightFiles:
        """Writes HDF5 files, once they are found to fit the description.

        Args:
            folder: Empty folder to write to.

        Raises:
            InputError: The weights are corrupt, are not the ones that were described, or are not
                those of the model that is described.
        """


def checked_dtype(dtype: Any, name: str) -> str:
    """Returns the name of a saved dtype policy.

    Args:
        dtype: The name; it is untrusted.
        name: What errors call the file.

    Raises:
        InputError: It is not a policy of floating-point numbers.
    """
    if dtype not in DTYPES:
        raise InputError(
            f"{name}: its dtype policy must be one of {', '.join(DTYPES)}. Received: {shown(dtype)}"
        )
    return dtype
