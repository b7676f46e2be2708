"""A model with the weights of another one up to a fresh last layer."""

from typing import TYPE_CHECKING, Any, TypeVar

from keras import initializers

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.freezing import copy_trainable
from keras_poolformer.models.weights import copy_weights

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel

Model = TypeVar("Model", bound="MetaFormerModel")


def with_new_head(
    model: Model, config: MetaFormerConfig, stddev: float, seed: int | None = None
) -> Model:
    """Returns a new model of the same class, whose last layer is fresh.

    Args:
        model: Model that has the weights; it stays as it is.
        config: Architecture of the new one: the same but for the classes.
        stddev: Standard deviation of the fresh weights.
        seed: Seed of the fresh weights, or None.
    """
    other = type(model)(config, model.provenance, model.name, model.dtype_policy)
    head: Any = getattr(other, "head", None)
    fresh = [] if head is None else [variable.path for variable in head.weights]
    copy_weights(model, other, fresh)
    if head is not None:
        normal = initializers.RandomNormal(stddev=stddev, seed=seed)
        kernel = head.weights[0]
        kernel.assign(normal(kernel.shape, kernel.dtype))
    copy_trainable(model, other, fresh)
    other.provenance = model.provenance.replace(new_tensors=tuple(fresh))
    return other
