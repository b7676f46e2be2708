"""The backbone as a Keras model: a functional graph with one layer for each block."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras

from keras_poolformer.checkpoints.tensors import feature_norm_path
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.base import MetaFormerModel, unique_name
from keras_poolformer.models.blocks import PoolFormerBlock
from keras_poolformer.models.layers import PatchEmbedding, make_norm
from keras_poolformer.models.policies import checked_policy, full_precision
from keras_poolformer.provenance import Provenance
from keras_poolformer.support.errors import InputError

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class MetaFormerBackbone(MetaFormerModel):
    """The network without a head.

    `pyramid_outputs` are the symbolic outputs of its stages, {"P2": (N, H/4, W/4, widths[0]),
    ...}, to build a detector or segmenter on; `feature_extractor` makes a model of them. With
    `feature_norms` in the config they are normed, as the authors' `fork_feat` has it;
    `stage_outputs` never are.

    Args:
        config: Architecture of the network.
        provenance: Where the weights come from: a `Provenance`, its flat fields, or None.
        name: Name of the model; by default "metaformer_backbone", with a number if that is taken.
        dtype: Dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized; any H and W, unless random mixing fixes
            them.

    Returns:
        (N, H/32, W/32, widths[-1]), un-normed.
    """

    default_name: ClassVar[str] = "metaformer_backbone"
    stage_outputs: dict[str, Any]
    pyramid_outputs: dict[str, Any]

    def __init__(
        self,
        config: MetaFormerConfig,
        provenance: Provenance | Mapping[str, Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        dtype = checked_policy(dtype)

        # === Functional model ===
        side = config.image_side
        shape = (side, side, config.in_channels)
        inputs = keras.Input(shape, dtype=full_precision(dtype), name="images")
        maps = feature_maps(config, inputs, dtype)
        name = name or unique_name(self.default_name)
        super().__init__(inputs=inputs, outputs=maps.last, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.stage_outputs = maps.stages
        self.pyramid_outputs = maps.pyramid
        # They are not on the way to the output: Keras tracks them because of this attribute.
        self.feature_norm_layers = maps.norms

    def feature_extractor(self, levels: Sequence[str] | None = None) -> keras.Model:
        """Makes a model that returns feature maps, and computes no further than the last one.

        The counterpart of timm's `features_only=True` with `out_indices`.

        Args:
            levels: Names among "P2", "P3", ...; by default all.

        Returns:
            A `keras.Model`, images -> {"P2": (N, H/4, W/4, widths[0]), ...}. It shares this
            model's weights.
        """
        known = list(self.pyramid_outputs)
        levels = known if levels is None else list(levels)
        if not levels or not all(level in known for level in levels):
            raise InputError(
                f"`levels` must be a list of levels among {', '.join(known)}. Received: {levels}"
            )
        return keras.Model(self.input, {level: self.pyramid_outputs[level] for level in levels})

    def stage_layers(self) -> list[list[keras.Layer]]:
        """Returns the layers of each stage, with the convolution that opens it."""
        candidates = [*self.layers, *self.feature_norm_layers]
        return [
            [layer for layer in candidates if layer.name.startswith(f"stages_{stage}_")]
            for stage in range(len(self.config.depths))
        ]


@_register
class PoolFormerBackbone(MetaFormerBackbone):
    """A `MetaFormerBackbone`, by the name of the first paper's network."""

    default_name = "poolformer_backbone"


class FeatureMaps(NamedTuple):
    """The symbolic outputs of a network without a head.

    Args:
        last: (N, H/32, W/32, widths[-1]), un-normed.
        stages: {"P2": (N, H/4, W/4, widths[0]), ...}, un-normed.
        pyramid: The same maps; those of the config's `normed_levels` are normed.
        norms: The layers that norm them, which are not on the way to `last`.
    """

    last: Any
    stages: dict[str, Any]
    pyramid: dict[str, Any]
    norms: list[keras.Layer]


def feature_maps(config: MetaFormerConfig, inputs: Any, dtype: Any) -> FeatureMaps:
    """Builds the network without a head.

    Args:
        config: Architecture of the network.
        inputs: Symbolic images (N, H, W, in_channels).
        dtype: Dtype policy.
    """
    maps = FeatureMaps(inputs, {}, {}, [])
    x = inputs
    for stage, depth in enumerate(config.depths):
        x = _embedding(config, stage, dtype)(x)
        for block in range(depth):
            x = _block(config, stage, block, dtype)(x)
        level = config.levels[stage]
        maps.stages[level] = maps.pyramid[level] = x  # (N, H/4, W/4, C0) ... (N, H/32, W/32, C3)
        if level in config.normed_levels:
            maps.norms.append(_norm(config, feature_norm_path(stage), dtype))
            maps.pyramid[level] = maps.norms[-1](x)
    return maps._replace(last=x)


def _norm(config: MetaFormerConfig, name: str, dtype: Any) -> keras.Layer:
    return make_norm(config.norm, name, dtype, config.norm_epsilon, config.use_bias)


def _embedding(config: MetaFormerConfig, stage: int, dtype: Any) -> keras.Layer:
    norm = ("before" if stage else "after") if config.embedding_norm else None
    return PatchEmbedding(
        config.widths[stage],
        config.patch_sizes[stage],
        config.strides[stage],
        config.paddings[stage],
        norm=norm,
        norm_epsilon=config.norm_epsilon,
        use_bias=config.use_bias,
        initializer_range=config.initializer_range,
        name=f"stages_{stage}_embedding",
        dtype=dtype,
    )


def _block(config: MetaFormerConfig, stage: int, block: int, dtype: Any) -> keras.Layer:
    return PoolFormerBlock(
        config.widths[stage],
        config.hidden_width(stage),
        pool_size=config.pool_size,
        activation=config.activation,
        use_layer_scale=config.use_layer_scale,
        layer_scale_init=config.layer_scale_init,
        drop_path_rate=config.drop_path_rates[stage][block],
        dropout_rate=config.dropout_rate,
        initializer_range=config.initializer_range,
        norm=config.norm,
        token_mixer=config.token_mixers[stage],
        num_tokens=config.tokens(stage) or None,
        norm_epsilon=config.norm_epsilon,
        use_bias=config.use_bias,
        res_scale_init=config.res_scale(stage),
        name=f"stages_{stage}_blocks_{block}",
        dtype=dtype,
    )
