"""Reads the JSON files next to timm's and transformers' weights, and translates their fields.

Each function turns a parsed JSON object into keyword arguments of `MetaFormerConfig` or
`ImageTransform`; those classes check the values. `hub_json_writing` is the inverse.
"""

from collections.abc import Mapping
from typing import Any

from keras_poolformer.checkpoints.layouts import TIMM
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.labels import checked_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.untyped import is_dict, is_list, is_mapping
from keras_poolformer.variants import TIMM_VARIANTS

JsonObject = Mapping[str, Any]

HF_FIELDS = {
    "depths": "depths",
    "drop_path_rate": "drop_path_rate",
    "hidden_sizes": "widths",
    "initializer_range": "initializer_range",
    "layer_scale_init_value": "layer_scale_init",
    "mlp_ratio": "mlp_ratio",
    "num_channels": "in_channels",
    "padding": "paddings",
    "patch_sizes": "patch_sizes",
    "pool_size": "pool_size",
    "problem_type": "problem_type",
    "strides": "strides",
    "use_layer_scale": "use_layer_scale",
}
# transformers' names of the same functions; the first one is written back. Left out are "prelu" and
# "xielu", which have weights, "laplace", which LiteRT has no operator for, and "sqrtsoftplus".
HF_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_10": "gelu_10",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "hardswish": "hard_swish",
    "leaky_relu": "leaky_relu",
    "linear": "linear",
    "mish": "mish",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
HF_FLAGS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
# {theirs: (ours, the flag of the step that needs it)}
HF_VALUES = {
    "size": ("size", "do_resize"),
    "resample": ("interpolation", "do_resize"),
    "crop_size": ("crop_size", "do_center_crop"),
    "rescale_factor": ("rescale_factor", "do_rescale"),
    "image_mean": ("mean", "do_normalize"),
    "image_std": ("std", "do_normalize"),
}
PIL_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_DATA_FORMATS = (None, "channels_first", "channels_last", "none")
# {theirs: ours}, of the arguments that timm's config.json passes to the model's class.
TIMM_ARGUMENTS = {
    "drop_path_rate": "drop_path_rate",
    "pool_size": "pool_size",
    "proj_drop_rate": "dropout_rate",
}
# timm's defaults of the preprocessing (timm/data/constants.py and config.py).
TIMM_TRANSFORM: dict[str, Any] = {
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
# Shapes determine the first two; the classifier's dropout is used only in training.
_TIMM_IGNORED = ("in_chans", "num_classes", "drop_rate")


def is_hf(config: JsonObject) -> bool:
    """Whether a config.json was written by transformers."""
    return "model_type" in config


def hf_config(config: JsonObject) -> dict[str, Any]:
    """Returns the fields of `MetaFormerConfig` in transformers' config.json of a PoolFormer."""
    if config["model_type"] != "poolformer":
        raise _rejected("must describe a poolformer", "model_type", config["model_type"])
    fields: dict[str, Any] = {
        ours: config[theirs] for theirs, ours in HF_FIELDS.items() if theirs in config
    }
    stages = config.get("num_encoder_blocks", 4)
    if isinstance(fields.get("depths"), list) and stages != len(fields["depths"]):
        raise InputError(
            f"config.json must have as many depths as encoder blocks. Received: "
            f"depths={shown(fields['depths'], 60)}, num_encoder_blocks={shown(stages, 60)}"
        )
    for name in ("patch_sizes", "strides", "paddings"):
        if isinstance(fields.get(name), list) and isinstance(stages, int):
            fields[name] = fields[name][: max(stages, 0)]  # transformers ignores the rest
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in HF_ACTIVATIONS:
        names = ", ".join(HF_ACTIVATIONS)
        raise _rejected(f"hidden_act must be one of {names}", "hidden_act", activation)
    return fields | {
        "activation": HF_ACTIVATIONS[activation],
        "head": "norm_pool",
        **_classes(config),
    }


def hf_unused(config: JsonObject) -> dict[str, Any]:
    """Returns the two fields of transformers' config.json that its class ignores.

    Raises:
        InputError: One is neither a whole number nor, as patch_size may be, two of them.
    """
    unused = {name: config[name] for name in ("patch_size", "stride") if name in config}
    for name, value in unused.items():
        is_pair = is_list(value) and len(value) == 2 and name == "patch_size"
        if not all(type(number) is int for number in (value if is_pair else [value])):
            raise _rejected(f"{name} must be a whole number", name, value)
    return unused


def _classes(config: JsonObject) -> dict[str, Any]:
    """Returns `num_classes` and `labels`, as far as they are given.

    Like transformers, it ignores label2id, which is stale in some published files.
    """
    id2label = config.get("id2label")
    count = config.get("num_labels")
    if count is not None and (type(count) is not int or count < 0):
        raise _rejected("num_labels must be a whole number", "num_labels", count)
    if id2label is None:
        return {} if count is None else {"num_classes": count}
    if not is_dict(id2label):
        raise _rejected("id2label must be an object", "id2label", id2label)
    if count is not None and count != len(id2label):
        raise _rejected(f"id2label must name all {count} classes", "id2label", id2label)
    labels = _id2label(id2label)
    placeholders = [f"LABEL_{i}" for i in range(len(labels))]
    if labels == placeholders:
        return {"num_classes": len(labels)}
    return {"num_classes": len(labels), "labels": labels}


def _id2label(id2label: JsonObject, name: str = "id2label") -> list[str]:
    """Returns the labels in the order of their ids."""
    try:
        labels = [id2label[str(i)] for i in range(len(id2label))]
    except KeyError as missing:
        raise InputError(f"config.json: {name} lacks class {missing}") from None
    return list(checked_labels(labels, name=f"config.json: {name}"))


def hf_transform(config: JsonObject, channels: int = 3) -> dict[str, Any]:
    """Returns the arguments of `ImageTransform` in transformers' preprocessor_config.json.

    As in transformers, null omits a step's value, and is rejected where the step needs it.
    data_format describes PyTorch's arrays: ours are channels-last unless a call of the transform
    sets another format.

    Args:
        config: Content of the file.
        channels: Number of image channels of the model. Mean and std are left out unless it is
            3, because images are prepared only as RGB.
    """
    file = "preprocessor_config.json"
    kind = config.get("image_processor_type", config.get("feature_extractor_type", "PoolFormer"))
    if not isinstance(kind, str) or not kind.startswith("PoolFormer"):
        raise _rejected("must be of a PoolFormer", "image_processor_type", kind, file)
    if config.get("do_pad"):
        raise _rejected("do_pad must be left out", "do_pad", config["do_pad"], file)
    for name in ("data_format", "input_data_format"):
        if config.get(name) not in _DATA_FORMATS:
            raise _rejected("must be channels_first or channels_last", name, config[name], file)

    flags = {name: config.get(name, True) for name in HF_FLAGS}
    flags = {name: False if flag is None else flag for name, flag in flags.items()}
    transform: dict[str, Any] = {"crop_mode": "hf", "size": 224, "crop_size": 224, **flags}
    if "crop_pct" in config:
        transform["crop_pct"] = config["crop_pct"]
    for theirs, (ours, flag) in HF_VALUES.items():
        if config.get(theirs) is not None:
            transform[ours] = config[theirs]
        elif theirs in config and flags[flag]:
            raise _rejected(f"{theirs} must be given where {flag} is true", theirs, None, file)
    if channels != 3:
        transform = _without_normalization(transform)
    if config.get("default_to_square") and isinstance(transform["size"], int):
        transform["size"] = [transform["size"]] * 2
    if "interpolation" in transform:
        number = transform["interpolation"]
        if type(number) is not int or not 0 <= number < len(PIL_RESAMPLING):
            rule = "resample must be PIL's number of a filter, 0 to 5"
            raise _rejected(rule, "resample", number, file)
        transform["interpolation"] = PIL_RESAMPLING[number]
    return transform


def _without_normalization(transform: dict[str, Any]) -> dict[str, Any]:
    """Drops mean and std, which have a value per channel of images that are not RGB."""
    return {name: value for name, value in transform.items() if name not in ("mean", "std")}


def _timm_pretrained(config: JsonObject) -> dict[str, Any]:
    """Returns the pretrained_cfg of timm's config.json, as timm itself reads it.

    The older form is one dictionary: the preprocessing is next to the architecture, and `labels`
    are today's `label_names`. Fields outside pretrained_cfg take precedence.
    """
    pretrained = config.get("pretrained_cfg", config)
    if not is_mapping(pretrained):
        raise _rejected("pretrained_cfg must be an object", "pretrained_cfg", pretrained)
    if pretrained is config and "labels" in config:
        pretrained = {**config, "label_names": config["labels"]}
    outer = {name: config[name] for name in ("num_classes", "label_names") if name in config}
    return {**pretrained, **outer}


def timm_config(config: JsonObject) -> dict[str, Any]:
    """Returns the fields of `MetaFormerConfig` in timm's config.json of a PoolFormer."""
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in TIMM_VARIANTS:
        rule = f"must describe one of timm's {', '.join(TIMM_VARIANTS)}"
        raise _rejected(rule, "architecture", architecture)
    fields: dict[str, Any] = {
        **_told_by_name(TIMM_VARIANTS[architecture]),
        "head": "pool_norm",
        "drop_path_rate": 0.0,  # as timm builds the class, unless model_args set it
        **_timm_arguments(config.get("model_args") or {}),
    }
    labels = _timm_pretrained(config).get("label_names")
    if is_dict(labels):  # ids to names
        labels = _id2label(labels, "label_names")
    if labels:
        fields["labels"] = list(checked_labels(labels, name="config.json: label_names"))
    if config.get("problem_type") is not None:  # timm has no such field and ignores it
        fields["problem_type"] = config["problem_type"]
    return fields


def _told_by_name(variant: MetaFormerConfig) -> dict[str, Any]:
    """The fields of a network of the second paper that its name tells and tensors do not."""
    if not variant.embedding_norm:
        return {}
    fields = {name: getattr(variant, name) for name in ("token_mixers", "norm", "norm_epsilon")}
    if variant.head_mlp_ratio:
        fields["head_norm_epsilon"] = TIMM.head_norm_epsilon
    return fields


def timm_architecture(config: JsonObject) -> dict[str, Any]:
    """Returns the fields of `MetaFormerConfig` of the architecture that timm's config.json names.

    The result is empty where model_args modify that architecture.
    """
    if config.get("model_args"):
        return {}
    pretrained = _timm_pretrained(config)
    variant = TIMM_VARIANTS[config["architecture"]].to_dict()
    return variant | {"num_classes": pretrained.get("num_classes", variant["num_classes"])}


def _timm_arguments(arguments: Any) -> dict[str, Any]:
    if not is_dict(arguments):
        raise _rejected("model_args must be an object", "model_args", arguments)
    if arguments.get("global_pool", "avg") != "avg":
        raise _rejected("global_pool must be avg", "model_args", arguments["global_pool"])
    allowed = (*TIMM_ARGUMENTS, *_TIMM_IGNORED, "global_pool")
    for name in arguments:
        if name not in allowed:
            raise _rejected(f"model_args must be among {', '.join(allowed)}", "model_args", name)
    return {TIMM_ARGUMENTS[name]: arguments[name] for name in arguments if name in TIMM_ARGUMENTS}


def timm_transform(config: JsonObject) -> dict[str, Any]:
    """Returns the arguments of `ImageTransform` in timm's config.json, with timm's defaults.

    As in timm's `resolve_data_config`, a value that is null, empty or 0 counts as left out.
    """
    pretrained = _timm_pretrained(config)
    if (pretrained.get("crop_mode") or "center") != "center":
        raise _rejected("crop_mode must be center", "crop_mode", pretrained["crop_mode"])
    size = pretrained.get("input_size") or [3, 224, 224]
    if not is_list(size) or len(size) != 3 or size[1] != size[2]:
        raise _rejected("input_size must be [channels, side, side]", "input_size", size)
    transform: dict[str, Any] = TIMM_TRANSFORM | {
        name: pretrained[name] for name in TIMM_TRANSFORM if pretrained.get(name)
    }
    for name in ("mean", "std"):  # one value for all channels
        value = transform[name]
        if is_list(value) and len(value) == 1:
            transform[name] = value[0]
    arguments = config.get("model_args")
    channels = arguments.get("in_chans") if is_dict(arguments) else None
    if (channels or size[0]) != 3:
        transform = _without_normalization(transform)
    return transform | {"size": size[1]}


def _rejected(rule: str, name: str, value: object, file: str = "config.json") -> InputError:
    return InputError(f"{file}: {rule}. Received: {name}={shown(value, 60)}")
