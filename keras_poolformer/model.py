"""PoolFormer as Keras models: a functional graph with one layer for each block."""

import keras
from keras import initializers, layers

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.layers import PatchEmbedding, PoolFormerBlock, group_norm
from keras_poolformer.loading import load_preset

LAYER_NORM_EPSILON = 1e-6  # timm's, in the pool_norm head

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


class _PoolFormer(keras.Model):
    """What the two models share: made from a config, read from a preset or checkpoint."""

    @classmethod
    def from_variant(cls, name, **overrides):
        """Builds a released variant with fresh weights.

        Args:
            name: "poolformer_s12", s24, s36, m36 or m48.
            **overrides: fields of `PoolFormerConfig`.
        """
        return cls(PoolFormerConfig.from_variant(name, **overrides))

    @classmethod
    def from_preset(
        cls, source, num_classes=None, head=None, load_weights=True, **config_overrides
    ):
        """Builds the model of a preset, checkpoint file or directory, and loads its weights.

        Args:
            source: a name of `list_presets()`, a .pth / .pth.tar / .safetensors / .keras
                file, or a directory as timm or transformers save it.
            num_classes: if it differs from the source's, the backbone's weights are kept and
                the classifier starts fresh (`model.provenance["new_tensors"]` says so).
            head: "norm_pool" or "pool_norm" instead of the source's own.
            load_weights: False builds the architecture with fresh weights.
            **config_overrides: fields of `PoolFormerConfig`, such as `pool_size`, which the
                shapes of a checkpoint do not tell.

        Raises:
            InputError: the source cannot be found, read, or does not fit.
        """
        overrides = dict(config_overrides)
        if num_classes is not None:
            overrides["num_classes"] = num_classes
        if head is not None:
            overrides["head"] = head
        return load_preset(cls, source, load_weights, overrides)

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "provenance": _plain(self.provenance),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["config"] = PoolFormerConfig(**config["config"])
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        return model


@_register
class PoolFormerBackbone(_PoolFormer):
    """The network without a head.

    Args:
        config: a `PoolFormerConfig`.
        provenance: where the weights come from (source, sha256, layout, transform), or None.
        name: of the model.
        dtype: dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalised; any H and W.

    Returns:
        (N, H/32, W/32, widths[-1]), un-normed.
    """

    def __init__(self, config, provenance=None, name="poolformer_backbone", dtype=None):
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # === Functional model ===
        inputs = keras.Input((None, None, config.in_channels), name="images")
        pyramid = {}
        x = inputs
        for stage, depth in enumerate(config.depths):
            x = _embedding(config, stage, dtype)(x)
            for block in range(depth):
                x = _block(config, stage, block, dtype)(x)
            pyramid[f"P{stage + 2}"] = x  # (N, H/4, W/4, C0) ... (N, H/32, W/32, C3)
        super().__init__(inputs=inputs, outputs=x, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.pyramid_outputs = pyramid


@_register
class PoolFormerImageClassifier(_PoolFormer):
    """The network with one of the two heads that exist in the wild.

    "norm_pool" (sail-sg, Hugging Face): group norm over H, W and C, then the mean over H and
    W. "pool_norm" (timm since 0.9): the mean, then a layer norm over C. Both end in a linear
    layer, which computes in float32 under mixed precision.

    Args:
        config: a `PoolFormerConfig`.
        provenance: where the weights come from (source, sha256, layout, transform), or None.
        name: of the model.
        dtype: dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalised; any H and W.

    Returns:
        (N, num_classes) logits, or the (N, widths[-1]) embedding if `num_classes` is 0.
    """

    def __init__(self, config, provenance=None, name="poolformer_classifier", dtype=None):
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        # === Layers ===
        backbone = PoolFormerBackbone(config, dtype=dtype)
        head_dtype = "float64" if dtype.compute_dtype == "float64" else "float32"
        pool_and_norm = _pool_and_norm(config, head_dtype)
        head = _head(config, head_dtype) if config.num_classes else None

        # === Functional model ===
        inputs = keras.Input((None, None, config.in_channels), name="images")
        outputs = backbone(inputs)
        for layer in pool_and_norm:
            outputs = layer(outputs)
        if head is not None:
            outputs = head(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.backbone = backbone
        self.head = head
        self._pool_and_norm = pool_and_norm

    def embed(self, images):
        """Returns the embedding that the linear layer sees: (N, widths[-1]).

        Args:
            images: (N, H, W, in_channels) float, normalised.
        """
        return self._embed_features(self.backbone(images, training=False))

    def classify_features(self, features):
        """Returns the logits of feature maps: the head by itself, (N, num_classes).

        Args:
            features: (N, h, w, widths[-1]), un-normed, as the backbone returns them.
        """
        embedding = self._embed_features(features)
        return embedding if self.head is None else self.head(embedding)

    def _embed_features(self, features):
        for layer in self._pool_and_norm:
            features = layer(features)
        return features


def _embedding(config, stage, dtype):
    return PatchEmbedding(
        config.widths[stage],
        config.patch_sizes[stage],
        config.strides[stage],
        config.paddings[stage],
        name=f"stages_{stage}_embedding",
        dtype=dtype,
    )


def _block(config, stage, block, dtype):
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
        name=f"stages_{stage}_blocks_{block}",
        dtype=dtype,
    )


def _pool_and_norm(config, dtype):
    """The two layers between feature map and linear layer, in the order of the head."""
    pool = layers.GlobalAveragePooling2D(name="head_pool", dtype=dtype)
    if config.head == "norm_pool":
        return [group_norm("head_norm", dtype), pool]
    norm = layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name="head_norm", dtype=dtype)
    return [pool, norm]


def _head(config, dtype):
    normal = initializers.RandomNormal(stddev=config.initializer_range)
    return layers.Dense(config.num_classes, kernel_initializer=normal, name="head", dtype=dtype)


def _plain(value):
    """Keras wraps containers set on a model; JSON wants plain ones."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
