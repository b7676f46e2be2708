"""The backbone as a class of KerasHub."""

import os
from collections.abc import Mapping
from typing import Any, Self

import keras
import keras_hub

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.hub import loading
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.models.backbone import PoolFormerBackbone, feature_maps
from keras_poolformer.models.base import unique_name
from keras_poolformer.models.policies import checked_policy, full_precision
from keras_poolformer.sources.kerashub import PACKAGE
from keras_poolformer.sources.released import default_transform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


@keras.saving.register_keras_serializable(package=PACKAGE)
class MetaFormerBackbone(keras_hub.models.FeaturePyramidBackbone):
    """The network without a head: the graph of `keras_poolformer.MetaFormerBackbone`.

    `pyramid_outputs` are {"P2": (N, H/4, W/4, widths[0]), ...}, normed where the config has
    `feature_norms`, as detectors and segmenters are best built on them.

    Args:
        config: Architecture of the network: a `MetaFormerConfig`, or a mapping of its fields. By
            default that of poolformer_s12.
        image_shape: (height, width, channels) of the images; None for any height or width.
        transform: How images are prepared: an `ImageTransform`, a mapping of its options, or
            None for that of the architecture.
        dtype: Dtype policy; by default Keras' global one.
        name: Name of the model; by default a new one.
        trainable: Whether the weights learn.
        **fields: Fields of `MetaFormerConfig`, which take precedence over `config`.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized.

    Returns:
        (N, H/32, W/32, widths[-1]), un-normed.
    """

    default_name = "metaformer_backbone"

    def __init__(
        self,
        config: MetaFormerConfig | Mapping[str, Any] | None = None,
        image_shape: tuple[int | None, int | None, int] | None = None,
        transform: ImageTransform | Mapping[str, Any] | None = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **fields: Any,
    ) -> None:
        config = config_of(config, fields)
        shape = _checked_shape(config, image_shape)
        policy = checked_policy(dtype)

        # === Functional model ===
        inputs = keras.Input(shape, dtype=full_precision(policy), name="images")
        maps = feature_maps(config, inputs, policy)
        super().__init__(
            inputs=inputs,
            outputs=maps.last,
            dtype=policy,
            name=name or unique_name(self.default_name),
            trainable=trainable,
        )

        # === Config ===
        self.config = config
        self.image_shape = shape
        self.transform = transform_of(transform) or default_transform(config)
        self.pyramid_outputs = self._named_outputs(maps.pyramid)
        # They are not on the way to the output: Keras tracks them because of this attribute.
        self.feature_norm_layers = maps.norms

    def _named_outputs(self, pyramid: dict[str, Any]) -> dict[str, Any]:
        """The feature maps, by the names that this class has for them."""
        return pyramid

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-ready values."""
        return super().get_config() | {
            "config": self.config.to_dict(),
            "image_shape": list(self.image_shape),
            "transform": self.transform.to_dict(),
        }

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike[str], load_weights: bool = True, **options: Any
    ) -> Self:
        """Loads the backbone of a preset of KerasHub, or of any source of this package.

        Args:
            preset: What `keras_hub.models.Backbone.from_preset` accepts and holds this class; or
                what `keras_poolformer.PoolFormerBackbone.from_preset` accepts: a name of
                `list_presets()`, a checkpoint file, a folder, "hf://OWNER/NAME[@REVISION]".
            load_weights: Whether weights are loaded. False builds the architecture only.
            **options: Arguments of the constructor, such as `image_shape` and `dtype`, and fields
                of `MetaFormerConfig`, such as `feature_norms`.
        """
        if loading.is_kerashub_preset(preset, cls, options):
            return super().from_preset(os.fspath(preset), load_weights=load_weights, **options)
        fields, options = loading.split_fields(options)
        dtype = options.pop("dtype", None)
        core = PoolFormerBackbone.from_preset(
            preset, load_weights=load_weights, dtype=dtype, **fields
        )
        options = {"transform": core.transform, "dtype": core.dtype_policy, **options}
        return loading.with_weights_of(core, cls(core.config, **options))


def config_of(
    config: MetaFormerConfig | Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> MetaFormerConfig:
    """Returns an architecture with some fields replaced.

    Args:
        config: A `MetaFormerConfig`, a mapping of its fields, or None for the defaults.
        fields: Fields to replace.
    """
    if not isinstance(config, MetaFormerConfig):
        return MetaFormerConfig(**{**(config or {}), **fields})
    return config.replace(**fields) if fields else config


def transform_of(transform: ImageTransform | Mapping[str, Any] | None) -> ImageTransform | None:
    """Returns the transform that an argument stands for, or None for None.

    Args:
        transform: An `ImageTransform`, a mapping of its options, or None.
    """
    if transform is None or isinstance(transform, ImageTransform):
        return transform
    return ImageTransform.from_dict(transform)


def _checked_shape(config: MetaFormerConfig, image_shape: Any) -> tuple[Any, Any, int]:
    """The shape of the images, which random mixing fixes."""
    side = config.image_side
    expected = (side, side, config.in_channels)
    if image_shape is None:
        return expected
    shape = tuple(image_shape)
    fits = len(shape) == 3 and shape[2] == config.in_channels
    if not fits or (side and shape != expected):
        raise InputError(
            f"`image_shape` must be (height, width, {config.in_channels})"
            f"{f' = {expected}, for random mixing' if side else ''}. Received: {shown(image_shape)}"
        )
    return shape
