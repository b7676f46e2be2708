"""The architecture of a MetaFormer as plain data: no framework is imported here."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from keras_poolformer.config_fields import (
    FOUR_STAGES,
    NEIGHBOR_WORDS,
    SEMANTIC_FPN,
    checked_fields,
    image_side,
    stage_levels,
)
from keras_poolformer.labels import Color
from keras_poolformer.scores import score_function
from keras_poolformer.support.choices import reject_unknown
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.untyped import is_list


@dataclass(frozen=True)
class MetaFormerConfig:
    """Architecture of a MetaFormer (arXiv 2111.11418, 2210.13452); the defaults are PoolFormer's.

    Args:
        depths: Number of blocks in each of the 1 to 4 stages.
        widths: Number of channels of each stage.
        patch_sizes: Kernel size, in pixels of its input, of the convolution that opens each
            stage. For fewer than four stages the default is shortened to as many entries; so are
            the defaults of `strides` and `paddings`.
        strides: Stride of each of these convolutions.
        paddings: Zero padding of each of these convolutions, on every side.
        pool_size: Window of the pooling token mixer, an odd integer.
        mlp_ratio: Hidden channels of the MLP, divided by the stage's width.
        activation: Activation of the MLP, one of `ACTIVATIONS`; "gelu" is the exact one, and
            "star_relu" has a learned scale and bias.
        in_channels: Number of channels of the image.
        num_classes: Length of the logits; 0 stops at the embedding.
        head: "norm_pool" (sail-sg, Hugging Face: group norm, then mean over H and W) or
            "pool_norm" (timm since 0.9: mean, then layer norm) of classifiers, whose weights fit
            both and give different logits; or "semantic_fpn" of segmenters (arXiv 1901.02446).
        use_layer_scale: Whether each branch is scaled per channel.
        layer_scale_init: Initial value of the layer scale.
        initializer_range: Standard deviation of the initial weights of MLPs and classifier.
        drop_path_rate: Float between 0 and 1. Stochastic depth of the last block; the rates of
            earlier ones increase to it linearly.
        dropout_rate: Float between 0 and 1. Dropout in the MLPs.
        labels: Class names, `num_classes` of them, or None.
        problem_type: Meaning of the logits, in transformers' words:
            "single_label_classification" (their softmax gives the probabilities of the classes),
            "multi_label_classification" (the sigmoid of each is the probability of its class) or
            "regression" (they are the values themselves). None is transformers' default: the
            first of these, but the sigmoid for a single output.
        feature_norms: Whether a backbone normalizes what it passes to a detector or segmenter
            (`pyramid_outputs`), as the authors' `fork_feat` does; or the levels that it
            normalizes, such as ("P3", "P4", "P5"), the authors' FORK_LAST3.
        norm: Norm of blocks, head and stages: "group_norm" (all released weights: over H, W and
            C of each image) or "layer_norm" (the authors' ablation with LayerNormChannel: over C
            of each pixel). The same weights fit both and give different logits.
        token_mixers: Token mixer of each stage, or one for all: "pooling", "identity", "random",
            "sep_conv" or "attention". Stored as a tuple.
        num_tokens: Number of pixels that each stage with "random" mixes, such as
            (None, None, 196, 49); it fixes the size of the images.
        norm_epsilon: Epsilon of the norms, but for "pool_norm" heads, which have 1e-6.
        use_bias: Whether the norms and MLPs of blocks, and the norms of embeddings, have biases.
        embedding_norm: Whether the convolution that opens a stage is normalized (layer norm over
            C): the first one's output, the inputs of the others. Their weights then start as
            those of the MLPs.
        res_scale_init: Initial value of the scale per channel of the shortcuts, for each stage or
            for all; None for a stage without.
        head_mlp_ratio: Hidden channels of the MLP in the head, divided by the last width; 0 for a
            linear head.
        head_norm_epsilon: Epsilon of the norm inside that MLP: 1e-5 (sail-sg) or 1e-6 (timm).
        head_dropout_rate: Float between 0 and 1. Dropout before the last linear layer; in
            segmenters of whole channels.
        neck_width: Number of channels of a segmenter's neck, a feature pyramid network.
        segmentation_width: Number of channels of a segmenter's head.
        palette: Colors (red, green, blue) of a segmenter's classes, each 0 to 255, or None.

    Raises:
        InputError: A field is unknown (the message knows the words of timm and
            transformers), of the wrong type, or out of bounds.
    """

    depths: tuple[int, ...] = (2, 2, 6, 2)
    widths: tuple[int, ...] = (64, 128, 320, 512)
    patch_sizes: tuple[int, ...] = FOUR_STAGES["patch_sizes"]
    strides: tuple[int, ...] = FOUR_STAGES["strides"]
    paddings: tuple[int, ...] = FOUR_STAGES["paddings"]
    pool_size: int = 3
    mlp_ratio: float = 4.0
    activation: str = "gelu"
    in_channels: int = 3
    num_classes: int = 1000
    head: str = "norm_pool"
    use_layer_scale: bool = True
    layer_scale_init: float = 1e-5
    initializer_range: float = 0.02
    drop_path_rate: float = 0.0
    dropout_rate: float = 0.0
    labels: tuple[str, ...] | None = None
    feature_norms: bool | tuple[str, ...] = False
    problem_type: str | None = None
    norm: str = "group_norm"
    token_mixers: str | tuple[str, ...] = "pooling"
    num_tokens: tuple[int | None, ...] | None = None
    norm_epsilon: float = 1e-5
    use_bias: bool = True
    embedding_norm: bool = False
    res_scale_init: float | tuple[float | None, ...] | None = None
    head_mlp_ratio: float = 0
    head_norm_epsilon: float = 1e-5
    head_dropout_rate: float = 0.0
    neck_width: int = 256
    segmentation_width: int = 128
    palette: tuple[Color, ...] | None = None

    def __new__(cls, /, *args: Any, **fields: Any) -> Self:
        """Rejects unknown fields with a hint, before the dataclass raises a TypeError."""
        names = [field.name for field in dataclasses.fields(cls)]
        reject_unknown("MetaFormerConfig has no field", fields, names, NEIGHBOR_WORDS)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in checked_fields(fields).items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @classmethod
    def from_variant(cls, name: str, **overrides: Any) -> "MetaFormerConfig":
        """Returns the configuration of a released variant, with some fields replaced.

        Args:
            name: Name of the variant, such as "poolformer_s12", "poolformerv2_s12" or
                "caformer_s18"; `variants.VARIANTS` has all of them.
            **overrides: Fields of this class.

        Raises:
            InputError: There is no such variant, or a field is invalid.
        """
        from keras_poolformer.variants import VARIANTS  # which is made of this class

        if name not in tuple(VARIANTS):
            raise InputError(
                f"`name` must be one of {', '.join(VARIANTS)}.{did_you_mean(name, VARIANTS)} "
                f"Received: {shown(name)}"
            )
        return VARIANTS[name].replace(**overrides)

    def replace(self, **overrides: Any) -> "MetaFormerConfig":
        """Returns a copy with some fields replaced."""
        return dataclasses.replace(self, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values; `MetaFormerConfig(**d)` reads them back."""
        return {f.name: _json(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @property
    def drop_path_rates(self) -> tuple[tuple[float, ...], ...]:
        """Stochastic depth rate of every block, stage by stage."""
        last = max(sum(self.depths) - 1, 1)
        starts = [sum(self.depths[:stage]) for stage in range(len(self.depths))]
        return tuple(
            tuple(self.drop_path_rate * (start + block) / last for block in range(depth))
            for start, depth in zip(starts, self.depths, strict=True)
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the stages' outputs: ("P2", "P3", ...), from stride 4 on."""
        return stage_levels(len(self.depths))

    @property
    def image_side(self) -> int | None:
        """Side of the square images, in pixels, where random mixing fixes it; else None."""
        return image_side(self.to_dict())

    @property
    def normed_levels(self) -> tuple[str, ...]:
        """Levels whose output is normalized."""
        if isinstance(self.feature_norms, bool):
            return self.levels if self.feature_norms else ()
        return self.feature_norms

    @property
    def is_segmenter(self) -> bool:
        """Whether the head gives logits for each pixel."""
        return self.head == SEMANTIC_FPN

    @property
    def score_function(self) -> str:
        """Function that turns logits into scores: "softmax", "sigmoid" or "identity"."""
        return score_function(self.problem_type, self.num_classes)

    def hidden_width(self, stage: int) -> int:
        """Returns the number of channels between the two layers of the MLPs of a stage."""
        return int(self.widths[stage] * self.mlp_ratio)

    @property
    def head_width(self) -> int:
        """Number of channels between the two layers of the head's MLP; 0 for a linear head."""
        return int(self.widths[-1] * self.head_mlp_ratio)

    def tokens(self, stage: int) -> int:
        """Returns the number of pixels that random mixing in a stage mixes; 0 without it."""
        return (self.num_tokens[stage] or 0) if self.num_tokens else 0

    def res_scale(self, stage: int) -> float | None:
        """Returns the initial scale of the shortcuts of a stage, or None for none."""
        return self.res_scale_init[stage] if isinstance(self.res_scale_init, tuple) else None


def _json(value: Any) -> Any:
    return [_json(entry) for entry in value] if is_list(value) else value


PoolFormerConfig = MetaFormerConfig
"""The same class: its defaults are PoolFormer's."""
