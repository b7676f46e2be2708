"""What the fields of an architecture may hold, and the errors for what they may not."""

import math
from collections.abc import Mapping
from typing import Any

from keras_poolformer.labels import checked_labels, checked_palette
from keras_poolformer.scores import PROBLEM_TYPES
from keras_poolformer.support.choices import check_choice
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.numeric import is_flag, real_number, whole_number, whole_numbers
from keras_poolformer.support.untyped import is_list

# Names that timm, transformers and the authors' code have for our fields.
NEIGHBOR_WORDS = {
    "act_layer": "activation",
    "dims": "widths",
    "drop_rate": "dropout_rate",
    "dropout_ratio": "head_dropout_rate",
    "embed_dims": "widths",
    "hidden_act": "activation",
    "hidden_sizes": "widths",
    "head_dropout": "head_dropout_rate",
    "id2label": "labels",
    "in_chans": "in_channels",
    "layer_scale_init_value": "layer_scale_init",
    "layer_scale_init_values": "layer_scale_init",
    "layers": "depths",
    "mlp_act": "activation",
    "mlp_bias": "use_bias",
    "mlp_ratios": "mlp_ratio",
    "num_channels": "in_channels",
    "norm_layer": "norm",
    "norm_layers": "norm",
    "num_labels": "num_classes",
    "padding": "paddings",
    "proj_drop_rate": "dropout_rate",
    "res_scale_init_values": "res_scale_init",
    "token_mixer": "token_mixers",
    "use_mlp_head": "head_mlp_ratio",
}
CLASSIFIER_HEADS = ("norm_pool", "pool_norm")
SEMANTIC_FPN = "semantic_fpn"  # the head of a segmenter, with its neck
HEADS = (*CLASSIFIER_HEADS, SEMANTIC_FPN)
SEGMENTER_DROPOUT_RATE = 0.1  # before the last layer of the released segmenters
NORMS = ("group_norm", "layer_norm")
ACTIVATIONS = (
    "gelu", "gelu_10", "gelu_tanh", "hard_swish", "leaky_relu", "linear", "mish", "quick_gelu",
    "relu", "relu2", "relu6", "sigmoid", "silu", "star_relu", "tanh",
)  # fmt: skip
TOKEN_MIXERS = ("pooling", "identity", "random", "sep_conv", "attention")
# What both libraries fix in the last two.
EXPANSION = 2  # of the channels inside a separable convolution
KERNEL_SIZE = 7  # pixels, of its depthwise convolution
HEAD_WIDTH = 32  # channels of an attention head

# Bounds on what a configuration file may ask for; the largest released model has 48 blocks
# and widths up to 768.
MAX_STAGES = 4
MAX_DEPTH = 512  # blocks
MAX_WIDTH = 16_384  # channels
MAX_KERNEL = 128  # pixels
MAX_CLASSES = 1_000_000
MAX_TOKENS = 4096  # a matrix of 64 MB; the largest released one mixes 196
_MAX_MLP_RATIO = 64
_MAX_INITIAL = 1e3  # of layer scale, shortcut scale and weights' standard deviation
_MAX_RATE = 0.999  # of dropout and stochastic depth
_SMALLEST_EPSILON = 1e-12
_LARGEST_EPSILON = 0.1

# Fields with one whole number for each stage, and their bounds.
_STAGE_NUMBERS = {
    "depths": (1, MAX_DEPTH),
    "widths": (1, MAX_WIDTH),
    "patch_sizes": (1, MAX_KERNEL),
    "strides": (1, MAX_KERNEL),
    "paddings": (0, MAX_KERNEL),
}
# Defaults for four stages, which are shortened for fewer.
FOUR_STAGES = {
    "patch_sizes": (7, 3, 3, 3),
    "strides": (4, 2, 2, 2),
    "paddings": (2, 1, 1, 1),
}
_WHOLE_NUMBERS = {
    "pool_size": (1, MAX_KERNEL),
    "in_channels": (1, MAX_WIDTH),
    "num_classes": (0, MAX_CLASSES),
    "neck_width": (1, MAX_WIDTH),
    "segmentation_width": (1, MAX_WIDTH),
}
_REAL_NUMBERS = {
    "layer_scale_init": (0, _MAX_INITIAL),
    "initializer_range": (0, _MAX_INITIAL),
    "drop_path_rate": (0, _MAX_RATE),
    "dropout_rate": (0, _MAX_RATE),
    "head_dropout_rate": (0, _MAX_RATE),
    "head_mlp_ratio": (0, _MAX_MLP_RATIO),
    "norm_epsilon": (_SMALLEST_EPSILON, _LARGEST_EPSILON),
    "head_norm_epsilon": (_SMALLEST_EPSILON, _LARGEST_EPSILON),
}
_CHOICES = {"head": HEADS, "norm": NORMS, "activation": ACTIVATIONS}
_FLAGS = ("use_layer_scale", "use_bias", "embedding_norm")


def checked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a config with plain types: tuples, ints, floats, bools and strings.

    Args:
        fields: {name of the field: value}, all of them.

    Raises:
        InputError: A value is of the wrong type or out of bounds, or does not fit another.
    """
    checked = dict(fields)
    checked |= _stages(checked)
    checked |= _scalars(checked)
    stages = len(checked["depths"])
    checked["token_mixers"] = _token_mixers(checked["token_mixers"], stages)
    checked["num_tokens"] = _num_tokens(checked["num_tokens"], checked["token_mixers"])
    checked["res_scale_init"] = _res_scale_init(checked["res_scale_init"], stages)
    _check_classes(checked)
    if checked["labels"] is not None:
        checked["labels"] = checked_labels(checked["labels"], checked["num_classes"])
    if checked["palette"] is not None:
        checked["palette"] = checked_palette(checked["palette"], checked["num_classes"])
    checked["feature_norms"] = _feature_norms(checked["feature_norms"], stages)
    image_side(checked)
    return checked


def stage_levels(stages: int) -> tuple[str, ...]:
    """Returns the names of the stages' outputs: ("P2", "P3", ...), from stride 4 on."""
    return tuple(f"P{stage + 2}" for stage in range(stages))


def _stages(fields: Mapping[str, Any]) -> dict[str, Any]:
    checked = {
        name: whole_numbers(name, fields[name], low, high)
        for name, (low, high) in _STAGE_NUMBERS.items()
    }
    depths = checked["depths"]
    stages = len(depths)
    if not 1 <= stages <= MAX_STAGES:
        raise InputError(f"`depths` must name 1 to {MAX_STAGES} stages. Received: {stages} stages")
    for name, default in FOUR_STAGES.items():
        if checked[name] == default:
            checked[name] = default[:stages]
    for name, values in checked.items():
        _check_count(name, values, stages)
    if sum(depths) > MAX_DEPTH:
        raise InputError(f"`depths` must sum to at most {MAX_DEPTH} blocks. Received: {depths}")
    return checked


def _check_count(name: str, values: tuple[Any, ...], stages: int) -> None:
    if len(values) != stages:
        raise InputError(
            f"`{name}` must have one entry for each of the {stages} stages of `depths`. "
            f"Received: {name}={shown(values)}"
        )


def _scalars(fields: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, (low, high) in _WHOLE_NUMBERS.items():
        checked[name] = whole_number(name, fields[name], low, high)
    if checked["pool_size"] % 2 == 0:
        raise InputError(
            f"`pool_size` must be odd, so that the window has a center. "
            f"Received: pool_size={checked['pool_size']}"
        )
    checked["mlp_ratio"] = real_number(
        "mlp_ratio", fields["mlp_ratio"], 1 / min(fields["widths"]), _MAX_MLP_RATIO
    )
    for name, (low, high) in _REAL_NUMBERS.items():
        checked[name] = real_number(name, fields[name], low, high)
    for name, choices in _CHOICES.items():
        check_choice(name, fields[name], choices)
    for name in _FLAGS:
        if not is_flag(fields[name]):
            raise InputError(f"`{name}` must be true or false. Received: {shown(fields[name])}")
        checked[name] = bool(fields[name])
    return checked


def _token_mixers(mixers: Any, stages: int) -> tuple[str, ...]:
    """One name for each stage; a name, or one for four stages, stands for all of them."""
    if isinstance(mixers, str):
        mixers = (mixers,) * stages
    if not is_list(mixers) or not all(isinstance(mixer, str) for mixer in mixers):
        raise InputError(
            f"`token_mixers` must be one of {', '.join(TOKEN_MIXERS)}, or a list of one for each "
            f"stage. Received: {shown(mixers)}"
        )
    for mixer in mixers:
        check_choice("token_mixers", mixer, TOKEN_MIXERS)
    return _for_stages("token_mixers", tuple(mixers), stages)


def _num_tokens(tokens: Any, mixers: tuple[str, ...]) -> tuple[int | None, ...] | None:
    """One number for each stage with random mixing, None for the others."""
    if "random" not in mixers:
        return None
    if not is_list(tokens) or len(tokens) != len(mixers):
        raise InputError(
            "`num_tokens` must name, for each stage, the number of pixels that `random` mixes, "
            f"such as (None, None, 196, 49). Received: {shown(tokens)}"
        )
    return tuple(
        whole_number("num_tokens", count, 1, MAX_TOKENS) if mixer == "random" else None
        for count, mixer in zip(tokens, mixers, strict=True)
    )


def _res_scale_init(initial: Any, stages: int) -> tuple[float | None, ...] | None:
    """One number for each stage whose shortcuts are scaled, None for the others."""
    if initial is None:
        return None
    values = tuple(initial) if is_list(initial) else (initial,) * stages
    checked = tuple(
        None if value is None else real_number("res_scale_init", value, -_MAX_INITIAL, _MAX_INITIAL)
        for value in values
    )
    checked = _for_stages("res_scale_init", checked, stages)
    return None if set(checked) == {None} else checked


def _for_stages(name: str, values: tuple[Any, ...], stages: int) -> tuple[Any, ...]:
    if len(values) == MAX_STAGES and len(set(values)) == 1:
        values = values[:stages]
    _check_count(name, values, stages)
    return values


def _check_classes(fields: Mapping[str, Any]) -> None:
    check_choice("problem_type", fields["problem_type"], (*PROBLEM_TYPES, None))
    if fields["problem_type"] == "single_label_classification" and fields["num_classes"] == 1:
        raise InputError(
            "`problem_type`='single_label_classification' needs two classes or more: the "
            "softmax of one logit is always 1. Received: num_classes=1"
        )


def _feature_norms(norms: Any, stages: int) -> bool | tuple[str, ...]:
    if is_flag(norms):
        return bool(norms)
    levels = stage_levels(stages)
    if not is_list(norms) or not all(level in levels for level in norms):
        raise InputError(
            f"`feature_norms` must be true, false or levels among {', '.join(levels)}. "
            f"Received: {shown(norms)}"
        )
    chosen = tuple(level for level in levels if level in norms)
    return chosen if 0 < len(chosen) < len(levels) else bool(chosen)


def attention_heads(width: int) -> int:
    """Returns the number of heads of attention over feature maps with `width` channels."""
    return max(width // HEAD_WIDTH, 1)


def output_side(side: int, kernel: int, stride: int, padding: int) -> int:
    """Returns the side of a convolution's output, in pixels."""
    return (side + 2 * padding - kernel) // stride + 1


def image_side(fields: Mapping[str, Any]) -> int | None:
    """Returns the side of the square images whose pixels `num_tokens` counts, None for any size.

    Args:
        fields: Checked fields of a config.

    Raises:
        InputError: No image has so many pixels in these stages.
    """
    tokens = fields["num_tokens"]
    if tokens is None:
        return None
    stage, count = next((i, count) for i, count in enumerate(tokens) if count is not None)
    image = side = math.isqrt(count) * math.prod(fields["strides"][: stage + 1])
    convolutions = zip(fields["patch_sizes"], fields["strides"], fields["paddings"], strict=True)
    for wanted, convolution in zip(tokens, convolutions, strict=True):
        side = output_side(side, *convolution)
        if wanted not in (None, side**2):
            raise InputError(
                "`num_tokens` must be the pixels of a square image's feature maps. Received: "
                f"{shown(tokens)}; an image of {image} x {image} has {side**2} where "
                f"{wanted} are named"
            )
    return image
