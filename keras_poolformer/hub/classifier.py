"""The classifier as a task of KerasHub."""

import os
from typing import Any, Self

import keras
import keras_hub

from keras_poolformer.hub import loading, tasks
from keras_poolformer.hub.backbone import MetaFormerBackbone
from keras_poolformer.hub.image_converter import MetaFormerImageConverter
from keras_poolformer.models import heads
from keras_poolformer.models.classifier import PoolFormerImageClassifier
from keras_poolformer.models.policies import full_precision
from keras_poolformer.sources.kerashub import PACKAGE
from keras_poolformer.support.errors import InputError

_register = keras.saving.register_keras_serializable(package=PACKAGE)


@_register
class MetaFormerImageClassifierPreprocessor(keras_hub.models.ImageClassifierPreprocessor):
    """Prepares images for a `MetaFormerImageClassifier`; labels pass unchanged.

    Args:
        image_converter: A `MetaFormerImageConverter`.
        **kwargs: Further arguments of KerasHub's preprocessor.
    """

    backbone_cls = MetaFormerBackbone
    image_converter_cls = MetaFormerImageConverter


@_register
class MetaFormerImageClassifier(keras_hub.models.ImageClassifier):
    """The classifier: the heads of `keras_poolformer.MetaFormerImageClassifier` on a backbone.

    Args:
        backbone: A `MetaFormerBackbone` of this module.
        num_classes: Number of classes; by default that in the backbone's config.
        preprocessor: A `MetaFormerImageClassifierPreprocessor`, another layer, or None for images
            that are prepared already.
        activation: Activation of the outputs, such as "softmax"; None for logits.
        name: Name of the model; by default a new one.
        compile: Whether the model is compiled with KerasHub's defaults: Adam at 5e-5, and the
            cross entropy of class numbers.
        **head_fields: Fields of `MetaFormerConfig` of the head, such as `head` and `labels`; by
            default those in the backbone's config.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized. `fit`, `predict` and `evaluate` take
            what the preprocessor takes.

    Returns:
        (N, num_classes).
    """

    backbone_cls = MetaFormerBackbone
    preprocessor_cls = MetaFormerImageClassifierPreprocessor

    def __init__(
        self,
        backbone: MetaFormerBackbone,
        num_classes: int | None = None,
        preprocessor: Any = None,
        activation: Any = None,
        name: str | None = None,
        compile: bool = True,
        **head_fields: Any,
    ) -> None:
        config = tasks.config_with_head(
            PoolFormerImageClassifier, backbone.config, num_classes, head_fields
        )
        if not config.num_classes:
            raise InputError("`num_classes` must be 1 or more. Received: 0")

        # === Layers ===
        dtype = full_precision(backbone.dtype_policy)
        layers = [*heads.pool_and_norm(config, dtype), *heads.head_layers(config, dtype)]
        if activation is not None:
            layers.append(keras.layers.Activation(activation, name="scores", dtype=dtype))

        # === Functional model ===
        outputs = backbone(backbone.input)
        for layer in layers:
            outputs = layer(outputs)
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.activation = activation  # `compile` looks at it
        # The parent's own constructor would make another head.
        keras_hub.models.Task.__init__(
            self, inputs=backbone.input, outputs=outputs, name=name, compile=compile
        )

        # === Config ===
        self.config = config
        self.num_classes = config.num_classes

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-ready values."""
        return tasks.task_config(self) | {
            "activation": keras.activations.serialize(keras.activations.get(self.activation))
        }

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike[str], load_weights: bool = True, **options: Any
    ) -> Self:
        """Loads the classifier of a preset of KerasHub, or of any source of this package.

        Args:
            preset: What `keras_hub.models.ImageClassifier.from_preset` accepts and holds a
                `MetaFormerBackbone`; or what `keras_poolformer.PoolFormerImageClassifier`'s
                accepts: a name of `list_presets()`, a checkpoint file, a folder,
                "hf://OWNER/NAME[@REVISION]".
            load_weights: Whether weights are loaded. False builds the architecture only.
            **options: Arguments of the constructor, such as `num_classes` and `preprocessor`;
                `image_shape` and `dtype` of the backbone; fields of `MetaFormerConfig`.
        """
        if loading.is_kerashub_preset(preset, MetaFormerBackbone, options):
            return super().from_preset(os.fspath(preset), load_weights=load_weights, **options)
        return tasks.task_of_source(cls, PoolFormerImageClassifier, preset, load_weights, options)
