"""What a model needs so that its weights can be loaded and saved; no model is imported."""

from collections.abc import Sequence
from typing import Any, Protocol

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance


class Variable(Protocol):
    """A Keras variable."""

    @property
    def path(self) -> str:
        """Path of the variable in its model."""
        ...

    def assign(self, value: Any) -> Any:
        """Sets the value."""
        ...

    def numpy(self) -> Any:
        """Returns the value as an array."""
        ...


class Model(Protocol):
    """A `MetaFormerImageClassifier`, a `MetaFormerBackbone`, or anything like them."""

    provenance: Provenance

    @property
    def config(self) -> MetaFormerConfig:
        """Architecture of the model."""
        ...

    @property
    def weights(self) -> Sequence[Variable]:
        """Variables of the model."""
        ...

    @property
    def transform(self) -> ImageTransform:
        """How images are prepared for the model."""
        ...
