"""The classifier as a Keras model: the backbone with one of the two heads."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, overload

import keras
import numpy as np
import PIL.Image as Image

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.models import heads
from keras_poolformer.models.backbone import MetaFormerBackbone, PoolFormerBackbone
from keras_poolformer.models.base import MetaFormerModel, unique_name
from keras_poolformer.models.losses import default_loss
from keras_poolformer.models.new_head import with_new_head
from keras_poolformer.models.policies import checked_policy, full_precision
from keras_poolformer.provenance import Provenance
from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError

CLASSIFIED_AT_ONCE = 32  # images in one batch of `classify`

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class MetaFormerImageClassifier(MetaFormerModel):
    """The network with one of the two heads that exist in the wild.

    "norm_pool" (sail-sg, Hugging Face): the norm of the blocks, by default over H, W and C, then
    the mean over H and W. "pool_norm" (timm since 0.9, and both libraries for the networks of the
    second paper): the mean, then a layer norm over C. Both end in a linear layer or, with
    `head_mlp_ratio`, in an MLP, which compute in float32 under mixed precision.

    Args:
        config: Architecture of the network.
        provenance: Where the weights come from: a `Provenance`, its flat fields, or None.
        name: Name of the model; by default "metaformer_classifier", with a number if that is
            taken.
        dtype: Dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized; any H and W, unless random mixing fixes
            them.

    Returns:
        (N, num_classes) logits, or the (N, widths[-1]) embedding if `num_classes` is 0.
    """

    default_name: ClassVar[str] = "metaformer_classifier"
    backbone_class: ClassVar[type[MetaFormerBackbone]] = MetaFormerBackbone
    backbone: MetaFormerBackbone

    def __init__(
        self,
        config: MetaFormerConfig,
        provenance: Provenance | Mapping[str, Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if config.feature_norms or config.is_segmenter:
            raise InputError(
                "a classifier has no place for `feature_norms`: a MetaFormerBackbone has; nor for "
                f"`head`={SEMANTIC_FPN!r}: a MetaFormerSegmenter has. "
                f"Received: feature_norms={config.feature_norms}, head={config.head!r}"
            )
        dtype = checked_policy(dtype)

        # === Layers ===
        backbone = self.backbone_class(config, dtype=dtype)
        head_dtype = full_precision(dtype)
        pool_and_norm = heads.pool_and_norm(config, head_dtype)
        head_layers = heads.head_layers(config, head_dtype)

        # === Functional model ===
        inputs = keras.Input(backbone.input_shape[1:], dtype=head_dtype, name="images")
        outputs = backbone(inputs)
        for layer in (*pool_and_norm, *head_layers):
            outputs = layer(outputs)
        name = name or unique_name(self.default_name)
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.backbone = backbone
        self.head = head_layers[-1] if head_layers else None
        self._pool_and_norm = pool_and_norm
        self._head_layers = head_layers

    @classmethod
    def required_fields(cls, config: MetaFormerConfig) -> dict[str, Any]:
        """Returns the fields that a config of another task must get; a segmenter's head is new."""
        if not config.is_segmenter:
            return {"feature_norms": False}
        head = "pool_norm" if config.embedding_norm else "norm_pool"
        return {"feature_norms": False, "head": head, "labels": None, "palette": None}

    def embed(self, images: Any) -> Any:
        """Returns the embedding that the linear layer, or the head's MLP, sees: (N, widths[-1]).

        Args:
            images: (N, H, W, in_channels) float, normalized: an array or a tensor.
        """
        return self._embed_features(self.backbone(images, training=False))

    def classify_features(self, features: Any) -> Any:
        """Returns the logits of feature maps: the head by itself, (N, num_classes).

        Args:
            features: (N, h, w, widths[-1]), un-normed, as the backbone returns them.
        """
        outputs = self._embed_features(features)
        for layer in self._head_layers:
            outputs = layer(outputs)
        return outputs

    def _embed_features(self, features: Any) -> Any:
        for layer in self._pool_and_norm:
            features = layer(features)
        return features

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits, or None if they have none."""
        return self.config.labels

    @overload
    def classify(
        self, images: str | os.PathLike[str] | Image.Image, top_k: int = 5
    ) -> list[tuple[str, float]]: ...
    @overload
    def classify(
        self, images: Sequence[str | os.PathLike[str] | Image.Image | np.ndarray], top_k: int = 5
    ) -> list[list[tuple[str, float]]]: ...
    @overload
    def classify(self, images: np.ndarray, top_k: int = 5) -> list[Any]: ...
    def classify(self, images: Any, top_k: int = 5) -> Any:
        """Classifies pictures, prepared by `transform`.

        Args:
            images: A path, a PIL image or a uint8 array (H, W, 3); or a list of these, or a
                uint8 array (N, H, W, 3).
            top_k: Number of classes to return.

        Returns:
            [(label, score), ...], the highest score first; for several pictures a list of such
            lists. Scores are probabilities, of a regression its values. Without labels the
            label is the class's number.

        Raises:
            InputError: A picture cannot be read, `top_k` is not a number of classes, or the model
                does not classify RGB images.
        """
        config = self.config
        if not config.num_classes or config.in_channels != 3:
            raise InputError(
                f"`classify` needs a classifier of RGB images. Received: {config.num_classes} "
                f"classes, {config.in_channels} channels"
            )
        several = isinstance(images, list | tuple) or getattr(images, "ndim", 3) == 4
        results = [
            top_classes(image_scores, config.labels, top_k)
            for prepared in _prepared(self.transform, images if several else [images])
            for image_scores in scores(self.predict_on_batch(prepared), config.problem_type)
        ]
        return results if several else results[0]

    def with_classes(
        self, num_classes: int, labels: Sequence[str] | None = None, seed: int | None = None
    ) -> Self:
        """Returns a new classifier with this one's weights up to a fresh last layer.

        The counterpart of timm's `reset_classifier`, which changes the model itself; a Keras
        model is the graph it was built as. This model stays as it is.

        Args:
            num_classes: Number of classes; 0 for a model that returns the embedding.
            labels: Class names, or None.
            seed: Seed of the fresh weights, or None.
        """
        config = self.config.replace(num_classes=num_classes, labels=labels)
        return with_new_head(self, config, config.initializer_range, seed)

    def default_loss(self, problem_type: str | None = None) -> keras.losses.Loss:
        """Returns the Keras loss of the logits that transformers computes from `labels`.

        Args:
            problem_type: "single_label_classification" (labels are class numbers),
                "multi_label_classification" (labels are 0 or 1 for each class) or
                "regression". By default the config's; if that is None, "regression" for a
                single output, else "single_label_classification".
        """
        return default_loss(self.config, problem_type)

    def stage_layers(self) -> list[list[keras.Layer]]:
        """Returns the layers of each stage, with the convolution that opens it."""
        return self.backbone.stage_layers()


@_register
class PoolFormerImageClassifier(MetaFormerImageClassifier):
    """A `MetaFormerImageClassifier`, by the name of the first paper's network."""

    default_name = "poolformer_classifier"
    backbone_class = PoolFormerBackbone


def _prepared(transform: ImageTransform, images: Any) -> Iterator[np.ndarray]:
    """Batches of prepared images: single ones where their sizes may differ."""
    count = CLASSIFIED_AT_ONCE if transform.output_shape else 1
    for start in range(0, len(images), count):
        yield transform(list(images[start : start + count]))
