"""PoolFormer as Keras models: a functional graph with one layer for each block."""

from typing import Any

import keras
from keras import initializers, layers

from keras_poolformer.checkpoints.layouts import feature_norm_path
from keras_poolformer.models.base import PoolFormerModel, checked_policy, plain, unique_name
from keras_poolformer.models.freezing import copy_trainable
from keras_poolformer.models.layers import (
    CHANNELS_LAST,
    Dense,
    PatchEmbedding,
    PoolFormerBlock,
    make_norm,
)
from keras_poolformer.models.loading import copy_weights
from keras_poolformer.models.losses import default_loss
from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError

LAYER_NORM_EPSILON = 1e-6  # timm's, in the pool_norm head
CLASSIFIED_AT_ONCE = 32  # images in one batch of `classify`

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class PoolFormerBackbone(PoolFormerModel):
    """The network without a head.

    `pyramid_outputs` are the symbolic outputs of its stages, {"P2": (N, H/4, W/4, widths[0]),
    ...}, to build a detector or segmenter on; `feature_extractor` makes a model of them. With
    `feature_norms` in the config they are normed, as the authors' `fork_feat` has it;
    `stage_outputs` never are.

    Args:
        config: a `PoolFormerConfig`.
        provenance: where the weights come from (source, sha256, layout, transform), or None.
        name: Name of the model; by default "poolformer_backbone", with a number if there is one.
        dtype: dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalised; any H and W.

    Returns:
        (N, H/32, W/32, widths[-1]), un-normed.
    """

    def __init__(self, config, provenance=None, name=None, dtype=None):
        dtype = checked_policy(dtype)

        # === Functional model ===
        inputs = keras.Input((None, None, config.in_channels), name="images")
        stages, pyramid, norms = {}, {}, []
        x = inputs
        for stage, depth in enumerate(config.depths):
            x = _embedding(config, stage, dtype)(x)
            for block in range(depth):
                x = _block(config, stage, block, dtype)(x)
            level = config.levels[stage]
            stages[level] = pyramid[level] = x  # (N, H/4, W/4, C0) ... (N, H/32, W/32, C3)
            if level in config.normed_levels:
                norms.append(make_norm(config.norm, feature_norm_path(stage), dtype))
                pyramid[level] = norms[-1](x)
        name = name or unique_name("poolformer_backbone")
        super().__init__(inputs=inputs, outputs=x, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.stage_outputs = stages
        self.pyramid_outputs = pyramid
        self.feature_norm_layers = (
            norms  # not on the way to the output: tracked because of this line
        )

    def feature_extractor(self, levels=None):
        """Makes a model that returns feature maps, and computes no further than the last one.

        The counterpart of timm's `features_only=True` with `out_indices`.

        Args:
            levels: among "P2", "P3", ...; all by default.

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

    def stage_layers(self):
        candidates = [*self.layers, *self.feature_norm_layers]
        return [
            [layer for layer in candidates if layer.name.startswith(f"stages_{stage}_")]
            for stage in range(len(self.config.depths))
        ]


@_register
class PoolFormerImageClassifier(PoolFormerModel):
    """The network with one of the two heads that exist in the wild.

    "norm_pool" (sail-sg, Hugging Face): the norm of the blocks, by default over H, W and C, then
    the mean over H and W. "pool_norm" (timm since 0.9): the mean, then a layer norm over C. Both
    end in a linear layer, which computes in float32 under mixed precision.

    Args:
        config: a `PoolFormerConfig`.
        provenance: where the weights come from (source, sha256, layout, transform), or None.
        name: Name of the model; by default "poolformer_classifier", with a number if there is one.
        dtype: dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalised; any H and W.

    Returns:
        (N, num_classes) logits, or the (N, widths[-1]) embedding if `num_classes` is 0.
    """

    fixed_fields = {"feature_norms": False}  # noqa: RUF012

    def __init__(self, config, provenance=None, name=None, dtype=None):
        if config.feature_norms:
            raise InputError(
                f"a classifier has no place for `feature_norms`: a PoolFormerBackbone has. "
                f"Received: feature_norms={config.feature_norms}"
            )
        dtype = checked_policy(dtype)

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
        name = name or unique_name("poolformer_classifier")
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

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits, or None if they have none."""
        return self.config.labels

    def classify(self, images: Any, top_k: int = 5) -> list:
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

    def with_classes(self, num_classes, labels=None, seed=None):
        """Returns a new classifier with this one's weights up to a fresh last layer.

        The counterpart of timm's `reset_classifier`, which changes the model itself; a Keras
        model is the graph it was built as. This model stays as it is.

        Args:
            num_classes: of the new one; 0 for a model that returns the embedding.
            labels: class names, or None.
            seed: of the fresh weights, or None.
        """
        config = self.config.replace(num_classes=num_classes, labels=labels)
        model = type(self)(config, plain(self.provenance), self.name, self.dtype_policy)
        head = model.head
        fresh = [] if head is None else [variable.path for variable in head.weights]
        copy_weights(self, model, fresh)
        if head is not None:
            normal = initializers.RandomNormal(stddev=config.initializer_range, seed=seed)
            kernel = head.weights[0]
            kernel.assign(normal(kernel.shape, kernel.dtype))
        copy_trainable(self, model, fresh)
        model.provenance = {**(model.provenance or {}), "new_tensors": fresh}
        return model

    def default_loss(self, problem_type=None):
        """Returns the Keras loss of the logits that transformers computes from `labels`.

        Args:
            problem_type: "single_label_classification" (labels are class numbers),
                "multi_label_classification" (labels are 0 or 1 for each class) or
                "regression"; by default the config's, and where that does not say the first, or
                the last for a single output.
        """
        return default_loss(self.config, problem_type)

    def stage_layers(self):
        return self.backbone.stage_layers()


def _prepared(transform, images):
    """Batches of prepared images: single ones where their sizes may differ."""
    count = CLASSIFIED_AT_ONCE if transform.output_shape else 1
    for start in range(0, len(images), count):
        yield transform(list(images[start : start + count]))


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
        norm=config.norm,
        name=f"stages_{stage}_blocks_{block}",
        dtype=dtype,
    )


def _pool_and_norm(config, dtype):
    """The two layers between feature map and linear layer, in the order of the head."""
    pool = layers.GlobalAveragePooling2D(CHANNELS_LAST, name="head_pool", dtype=dtype)
    if config.head == "norm_pool":
        return [make_norm(config.norm, "head_norm", dtype), pool]
    norm = layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name="head_norm", dtype=dtype)
    return [pool, norm]


def _head(config, dtype):
    normal = initializers.RandomNormal(stddev=config.initializer_range)
    return Dense(config.num_classes, kernel_initializer=normal, name="head", dtype=dtype)
