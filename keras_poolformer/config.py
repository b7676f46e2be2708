"""The architecture of a PoolFormer as plain data: no framework is imported here."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from keras_poolformer.labels import checked_labels
from keras_poolformer.scores import PROBLEM_TYPES, score_function
from keras_poolformer.support.choices import check_choice, reject_unknown
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.numeric import is_flag, real_number, whole_number, whole_numbers
from keras_poolformer.support.untyped import is_list

# Names that timm, transformers and the authors' code have for our fields.
NEIGHBOR_WORDS = {
    "act_layer": "activation",
    "dims": "widths",
    "drop_rate": "dropout_rate",
    "embed_dims": "widths",
    "hidden_act": "activation",
    "hidden_sizes": "widths",
    "id2label": "labels",
    "in_chans": "in_channels",
    "layer_scale_init_value": "layer_scale_init",
    "layer_scale_init_values": "layer_scale_init",
    "layers": "depths",
    "mlp_ratios": "mlp_ratio",
    "num_channels": "in_channels",
    "norm_layer": "norm",
    "norm_layers": "norm",
    "num_labels": "num_classes",
    "padding": "paddings",
    "proj_drop_rate": "dropout_rate",
}
HEADS = ("norm_pool", "pool_norm")
NORMS = ("group_norm", "layer_norm")
ACTIVATIONS = (
    "gelu", "gelu_10", "gelu_tanh", "hard_swish", "leaky_relu", "linear", "mish", "quick_gelu",
    "relu", "relu2", "relu6", "sigmoid", "silu", "tanh",
)  # fmt: skip

# Bounds on what a configuration file may ask for; the largest released model has 48 blocks
# and widths up to 768.
MAX_STAGES = 4
MAX_DEPTH = 512  # blocks
MAX_WIDTH = 16_384  # channels
MAX_KERNEL = 128  # pixels
MAX_CLASSES = 1_000_000
_MAX_MLP_RATIO = 64
_MAX_INITIAL = 1e3  # of layer scale and of weights' standard deviation
_MAX_RATE = 0.999  # of dropout and stochastic depth


@dataclass(frozen=True)
class PoolFormerConfig:
    """Architecture of a PoolFormer (arXiv 2111.11418; the defaults are poolformer_s12).

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
        activation: Activation of the MLP, one of `ACTIVATIONS`; "gelu" is the exact one.
        in_channels: Number of channels of the image.
        num_classes: Length of the logits; 0 stops at the embedding.
        head: "norm_pool" (sail-sg, Hugging Face: group norm, then mean over H and W) or
            "pool_norm" (timm since 0.9: mean, then layer norm). The same weights fit both
            and give different logits.
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

    Raises:
        InputError: A field is unknown (the message knows the words of timm and
            transformers), of the wrong type, or out of bounds.
    """

    depths: tuple[int, ...] = (2, 2, 6, 2)
    widths: tuple[int, ...] = (64, 128, 320, 512)
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    strides: tuple[int, ...] = (4, 2, 2, 2)
    paddings: tuple[int, ...] = (2, 1, 1, 1)
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

    def __new__(cls, /, *args: Any, **fields: Any) -> Self:
        """Rejects unknown fields with a hint, before the dataclass raises a TypeError."""
        names = [field.name for field in dataclasses.fields(cls)]
        reject_unknown("PoolFormerConfig has no field", fields, names, NEIGHBOR_WORDS)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self._check_stages()
        self._check_scalars()
        self._check_classes()
        self._check_feature_norms()

    @classmethod
    def from_variant(cls, name: str, **overrides: Any) -> "PoolFormerConfig":
        """Returns the configuration of a released variant, with some fields replaced.

        Args:
            name: Name of the variant: "poolformer_s12", s24, s36, m36 or m48.
            **overrides: Fields of this class.

        Raises:
            InputError: There is no such variant, or a field is invalid.
        """
        if name not in tuple(VARIANTS):
            raise InputError(
                f"`name` must be one of {', '.join(VARIANTS)}.{did_you_mean(name, VARIANTS)} "
                f"Received: {shown(name)}"
            )
        return VARIANTS[name].replace(**overrides)

    def replace(self, **overrides: Any) -> "PoolFormerConfig":
        """Returns a copy with some fields replaced."""
        return dataclasses.replace(self, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values; `PoolFormerConfig(**d)` reads them back."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: list(v) if is_list(v) else v for name, v in values.items()}

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
        return tuple(f"P{stage + 2}" for stage in range(len(self.depths)))

    @property
    def normed_levels(self) -> tuple[str, ...]:
        """Levels whose output is normalized."""
        if isinstance(self.feature_norms, bool):
            return self.levels if self.feature_norms else ()
        return self.feature_norms

    @property
    def score_function(self) -> str:
        """Function that turns logits into scores: "softmax", "sigmoid" or "identity"."""
        return score_function(self.problem_type, self.num_classes)

    def hidden_width(self, stage: int) -> int:
        """Returns the number of channels between the two layers of the MLPs of a stage."""
        return int(self.widths[stage] * self.mlp_ratio)

    def _check_stages(self) -> None:
        bounds = {
            "depths": (1, MAX_DEPTH),
            "widths": (1, MAX_WIDTH),
            "patch_sizes": (1, MAX_KERNEL),
            "strides": (1, MAX_KERNEL),
            "paddings": (0, MAX_KERNEL),
        }
        for name, (low, high) in bounds.items():
            self._set(name, whole_numbers(name, getattr(self, name), low, high))
        stages = len(self.depths)
        if not 1 <= stages <= MAX_STAGES:
            raise InputError(
                f"`depths` must name 1 to {MAX_STAGES} stages. Received: {stages} stages"
            )
        for name in ("patch_sizes", "strides", "paddings"):
            default = getattr(PoolFormerConfig, name)  # for four stages
            if getattr(self, name) == default:
                self._set(name, default[:stages])
        for name in bounds:
            if len(getattr(self, name)) != stages:
                raise InputError(
                    f"`{name}` must have one entry for each of the {stages} stages of "
                    f"`depths`={self.depths}. Received: {name}={shown(getattr(self, name))}"
                )
        if sum(self.depths) > MAX_DEPTH:
            raise InputError(
                f"`depths` must sum to at most {MAX_DEPTH} blocks. Received: {self.depths}"
            )

    def _check_scalars(self) -> None:
        self._set_whole("pool_size", 1, MAX_KERNEL)
        if self.pool_size % 2 == 0:
            raise InputError(
                f"`pool_size` must be odd, so that the window has a center. "
                f"Received: pool_size={self.pool_size}"
            )
        self._set_whole("in_channels", 1, MAX_WIDTH)
        self._set_whole("num_classes", 0, MAX_CLASSES)
        self._set_real("mlp_ratio", 1 / min(self.widths), _MAX_MLP_RATIO)
        self._set_real("layer_scale_init", 0, _MAX_INITIAL)
        self._set_real("initializer_range", 0, _MAX_INITIAL)
        self._set_real("drop_path_rate", 0, _MAX_RATE)
        self._set_real("dropout_rate", 0, _MAX_RATE)
        check_choice("head", self.head, HEADS)
        check_choice("norm", self.norm, NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        if not is_flag(self.use_layer_scale):
            raise InputError(
                f"`use_layer_scale` must be true or false. Received: {shown(self.use_layer_scale)}"
            )
        self._set("use_layer_scale", bool(self.use_layer_scale))

    def _check_classes(self) -> None:
        if self.labels is not None:
            self._set("labels", checked_labels(self.labels, self.num_classes))
        check_choice("problem_type", self.problem_type, (*PROBLEM_TYPES, None))
        if self.problem_type == "single_label_classification" and self.num_classes == 1:
            raise InputError(
                "`problem_type`='single_label_classification' needs two classes or more: the "
                "softmax of one logit is always 1. Received: num_classes=1"
            )

    def _check_feature_norms(self) -> None:
        norms: Any = self.feature_norms
        if is_flag(norms):
            self._set("feature_norms", bool(norms))
            return
        if not is_list(norms) or not all(level in self.levels for level in norms):
            raise InputError(
                f"`feature_norms` must be true, false or levels among {', '.join(self.levels)}. "
                f"Received: {shown(norms)}"
            )
        chosen = tuple(level for level in self.levels if level in norms)
        self._set("feature_norms", chosen if 0 < len(chosen) < len(self.levels) else bool(chosen))

    def _set_whole(self, name: str, low: int, high: int) -> None:
        self._set(name, whole_number(name, getattr(self, name), low, high))

    def _set_real(self, name: str, low: float, high: float) -> None:
        self._set(name, real_number(name, getattr(self, name), low, high))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen


def _variant(
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    drop_path_rate: float,
    layer_scale_init: float,
) -> PoolFormerConfig:
    return PoolFormerConfig(
        depths=depths,
        widths=widths,
        drop_path_rate=drop_path_rate,
        layer_scale_init=layer_scale_init,
    )


# Table 1 of arXiv 2111.11418; drop path and layer scale from the authors' scripts/README.
VARIANTS = {
    "poolformer_s12": _variant((2, 2, 6, 2), (64, 128, 320, 512), 0.1, 1e-5),
    "poolformer_s24": _variant((4, 4, 12, 4), (64, 128, 320, 512), 0.1, 1e-5),
    "poolformer_s36": _variant((6, 6, 18, 6), (64, 128, 320, 512), 0.2, 1e-6),
    "poolformer_m36": _variant((6, 6, 18, 6), (96, 192, 384, 768), 0.3, 1e-6),
    "poolformer_m48": _variant((8, 8, 24, 8), (96, 192, 384, 768), 0.4, 1e-6),
}
