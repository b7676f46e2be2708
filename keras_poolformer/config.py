"""The architecture of a PoolFormer as plain data: no framework is imported here."""

import dataclasses
from dataclasses import dataclass

from keras_poolformer.labels import checked_labels
from keras_poolformer.scores import PROBLEM_TYPES, score_function
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.numeric import is_flag, real_number, whole_number

# Words that timm, transformers and the authors' code use for our fields.
NEIGHBOUR_WORDS = {
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
MAX_DEPTH, MAX_WIDTH, MAX_KERNEL, MAX_CLASSES = 512, 16_384, 128, 1_000_000
MAX_STAGES = 4


@dataclass(frozen=True)
class PoolFormerConfig:
    """Architecture of a PoolFormer (arXiv 2111.11418; the defaults are poolformer_s12).

    Args:
        depths: blocks in each of the 1 to 4 stages.
        widths: channels of each stage.
        patch_sizes: kernel size, in pixels of its input, of the convolution that opens each
            stage.
        strides: its strides.
        paddings: its zero padding on every side.
        pool_size: window of the pooling token mixer, odd.
        mlp_ratio: hidden channels of the MLP over the stage's width.
        activation: of the MLP, one of `ACTIVATIONS`; "gelu" is the exact one.
        in_channels: channels of the image.
        num_classes: length of the logits; 0 stops at the embedding.
        head: "norm_pool" (sail-sg, Hugging Face: group norm, then mean over H and W) or
            "pool_norm" (timm since 0.9: mean, then layer norm). The same weights fit both
            and give different logits.
        use_layer_scale: whether each branch is scaled per channel.
        layer_scale_init: its initial value.
        initializer_range: standard deviation of the initial weights of MLPs and classifier.
        drop_path_rate: stochastic depth of the last block; earlier ones rise to it linearly.
        dropout_rate: dropout in the MLPs.
        labels: class names, `num_classes` of them, or None.
        problem_type: What the logits mean, in transformers' words:
            "single_label_classification" (their softmax are the probabilities of the classes),
            "multi_label_classification" (each one's sigmoid is the probability of its class) or
            "regression" (they are the values themselves). None is transformers' default: the
            first of them, but the sigmoid for a single output.
        feature_norms: whether a backbone norms what it hands to a detector or segmenter
            (`pyramid_outputs`), as the authors' `fork_feat` does; or the levels that it norms,
            such as ("P3", "P4", "P5"), the authors' FORK_LAST3.
        norm: of blocks, head and stages: "group_norm" (all released weights: over H, W and C of
            each image) or "layer_norm" (the authors' ablation with LayerNormChannel: over C of
            each pixel). The same weights fit both and give different logits.

    Raises:
        InputError: a field is unknown (the message knows the words of timm and
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

    def __new__(cls, /, *args, **fields):
        """Refuses unknown fields in words, before the dataclass would with a TypeError."""
        _refuse_unknown(fields, [field.name for field in dataclasses.fields(cls)])
        return super().__new__(cls)

    def __post_init__(self):
        self._check_stages()
        self._check_scalars()
        self._check_classes()
        self._check_feature_norms()

    @classmethod
    def from_variant(cls, name, **overrides):
        """Returns the configuration of a released variant, with some fields replaced.

        Args:
            name: one of `VARIANTS`: "poolformer_s12", s24, s36, m36, m48.
            **overrides: fields of this class.
        """
        if name not in VARIANTS:
            raise InputError(
                f"`name` must be one of {', '.join(VARIANTS)}.{did_you_mean(name, VARIANTS)} "
                f"Received: {shown(name)}"
            )
        return dataclasses.replace(VARIANTS[name], **overrides)

    def replace(self, **overrides):
        """Returns a copy with some fields replaced."""
        return dataclasses.replace(self, **overrides)

    def to_dict(self):
        """Returns the fields as JSON-ready values; `PoolFormerConfig(**d)` reads them back."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    @property
    def drop_path_rates(self):
        """Stochastic depth rate of every block, stage by stage (tuples of floats)."""
        last = max(sum(self.depths) - 1, 1)
        starts = [sum(self.depths[:stage]) for stage in range(len(self.depths))]
        return tuple(
            tuple(self.drop_path_rate * (start + block) / last for block in range(depth))
            for start, depth in zip(starts, self.depths, strict=True)
        )

    @property
    def levels(self):
        """Names of the stages' outputs: ("P2", "P3", ...), from stride 4 on."""
        return tuple(f"P{stage + 2}" for stage in range(len(self.depths)))

    @property
    def normed_levels(self):
        """Those of `levels` that `feature_norms` norms."""
        if isinstance(self.feature_norms, bool):
            return self.levels if self.feature_norms else ()
        return self.feature_norms

    @property
    def score_function(self):
        """What turns logits into scores: "softmax", "sigmoid" or "identity"."""
        return score_function(self.problem_type, self.num_classes)

    def hidden_width(self, stage):
        """Channels between the two layers of the MLPs of one stage."""
        return int(self.widths[stage] * self.mlp_ratio)

    def _check_stages(self):
        bounds = {
            "depths": (1, MAX_DEPTH),
            "widths": (1, MAX_WIDTH),
            "patch_sizes": (1, MAX_KERNEL),
            "strides": (1, MAX_KERNEL),
            "paddings": (0, MAX_KERNEL),
        }
        for name, (low, high) in bounds.items():
            self._set(name, _whole_numbers(name, getattr(self, name), low, high))
        stages = len(self.depths)
        if not 1 <= stages <= MAX_STAGES:
            raise InputError(
                f"`depths` must name 1 to {MAX_STAGES} stages. Received: {stages} stages"
            )
        for name in ("patch_sizes", "strides", "paddings"):
            # The defaults are for four stages; a shorter network uses the first ones.
            if getattr(self, name) == getattr(type(self), name):
                self._set(name, getattr(self, name)[:stages])
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

    def _check_scalars(self):
        self._set_whole("pool_size", 1, MAX_KERNEL)
        if self.pool_size % 2 == 0:
            raise InputError(
                f"`pool_size` must be odd, so that the window has a centre. "
                f"Received: pool_size={self.pool_size}"
            )
        self._set_whole("in_channels", 1, MAX_WIDTH)
        self._set_whole("num_classes", 0, MAX_CLASSES)
        self._set_real("mlp_ratio", 1 / min(self.widths), 64)
        self._set_real("layer_scale_init", 0, 1e3)
        self._set_real("initializer_range", 0, 1e3)
        for name in ("drop_path_rate", "dropout_rate"):
            self._set_real(name, 0, 0.999)
        _check_choice("head", self.head, HEADS)
        _check_choice("norm", self.norm, NORMS)
        _check_choice("activation", self.activation, ACTIVATIONS)
        if not is_flag(self.use_layer_scale):
            raise InputError(
                f"`use_layer_scale` must be true or false. Received: {shown(self.use_layer_scale)}"
            )
        self._set("use_layer_scale", bool(self.use_layer_scale))

    def _check_classes(self):
        if self.labels is not None:
            self._set("labels", checked_labels(self.labels, self.num_classes))
        _check_choice("problem_type", self.problem_type, (*PROBLEM_TYPES, None))
        if self.problem_type == "single_label_classification" and self.num_classes == 1:
            raise InputError(
                "`problem_type`='single_label_classification' needs two classes or more: the "
                "softmax of one logit is always 1. Received: num_classes=1"
            )

    def _check_feature_norms(self):
        norms = self.feature_norms
        if is_flag(norms):
            self._set("feature_norms", bool(norms))
            return
        if not isinstance(norms, list | tuple) or not all(one in self.levels for one in norms):
            raise InputError(
                f"`feature_norms` must be true, false or levels among {', '.join(self.levels)}. "
                f"Received: {shown(norms)}"
            )
        chosen = tuple(level for level in self.levels if level in norms)
        self._set("feature_norms", chosen if 0 < len(chosen) < len(self.levels) else bool(chosen))

    def _set_whole(self, name, low, high):
        self._set(name, whole_number(name, getattr(self, name), low, high))

    def _set_real(self, name, low, high):
        self._set(name, real_number(name, getattr(self, name), low, high))

    def _set(self, name, value):
        object.__setattr__(self, name, value)


def _refuse_unknown(names, known):
    for name in names:
        if name not in known:
            raise InputError(
                f"PoolFormerConfig has no field `{shown(name)[1:-1]}`."
                f"{did_you_mean(name, known, NEIGHBOUR_WORDS)} Its fields are {', '.join(known)}"
            )


def _whole_numbers(name, values, low, high):
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InputError(
            f"`{name}` must be a list of whole numbers, one a stage. Received: {shown(values)}"
        )
    return tuple(whole_number(name, value, low, high) for value in values)


def _check_choice(name, value, choices):
    if value not in choices:
        raise InputError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. Received: {shown(value)}"
        )


def _variant(depths, widths, drop_path_rate, layer_scale_init):
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
