"""Reads the JSON files next to transformers' weights, and translates their fields.

Each function turns a parsed JSON object into keyword arguments of `MetaFormerConfig` or
`ImageTransform`; those classes check the values. `timm_json` does the same for timm's, and
`hub_json_writing` is the inverse of both.
"""

from collections.abc import Mapping
from typing import Any

from keras_poolformer.labels import checked_labels
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.untyped import is_dict, is_list

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


def is_hf(config: JsonObject) -> bool:
    """Whether a config.json was written by transformers."""
    return "model_type" in config


def hf_config(config: JsonObject) -> dict[str, Any]:
    """Returns the fields of `MetaFormerConfig` in transformers' config.json of a PoolFormer."""
    if config["model_type"] != "poolformer":
        raise rejected("must describe a poolformer", "model_type", config["model_type"])
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
        raise rejected(f"hidden_act must be one of {names}", "hidden_act", activation)
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
            raise rejected(f"{name} must be a whole number", name, value)
    return unused


def _classes(config: JsonObject) -> dict[str, Any]:
    """Returns `num_classes` and `labels`, as far as they are given.

    Like transformers, it ignores label2id, which is stale in some published files.
    """
    id2label = config.get("id2label")
    count = config.get("num_labels")
    if count is not None and (type(count) is not int or count < 0):
        raise rejected("num_labels must be a whole number", "num_labels", count)
    if id2label is None:
        return {} if count is None else {"num_classes": count}
    if not is_dict(id2label):
        raise rejected("id2label must be an object", "id2label", id2label)
    if count is not None and count != len(id2label):
        raise rejected(f"id2label must name all {count} classes", "id2label", id2label)
    labels = label_names(id2label)
    placeholders = [f"LABEL_{i}" for i in range(len(labels))]
    if labels == placeholders:
        return {"num_classes": len(labels)}
    return {"num_classes": len(labels), "labels": labels}


def label_names(id2label: JsonObject, name: str = "id2label") -> list[str]:
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
        raise rejected("must be of a PoolFormer", "image_processor_type", kind, file)
    if config.get("do_pad"):
        raise rejected("do_pad must be left out", "do_pad", config["do_pad"], file)
    for name in ("data_format", "input_data_format"):
        if config.get(name) not in _DATA_FORMATS:
            raise rejected("must be channels_first or channels_last", name, config[name], file)

    flags = {name: config.get(name, True) for name in HF_FLAGS}
    flags = {name: False if flag is None else flag for name, flag in flags.items()}
    transform: dict[str, Any] = {"crop_mode": "hf", "size": 224, "crop_size": 224, **flags}
    if "crop_pct" in config:
        transform["crop_pct"] = config["crop_pct"]
    for theirs, (ours, flag) in HF_VALUES.items():
        if config.get(theirs) is not None:
            transform[ours] = config[theirs]
        elif theirs in config and flags[flag]:
            raise rejected(f"{theirs} must be given where {flag} is true", theirs, None, file)
    if channels != 3:
        transform = without_normalization(transform)
    if config.get("default_to_square") and isinstance(transform["size"], int):
        transform["size"] = [transform["size"]] * 2
    if "interpolation" in transform:
        number = transform["interpolation"]
        if type(number) is not int or not 0 <= number < len(PIL_RESAMPLING):
            rule = "resample must be PIL's number of a filter, 0 to 5"
            raise rejected(rule, "resample", number, file)
        transform["interpolation"] = PIL_RESAMPLING[number]
    return transform


def without_normalization(transform: dict[str, Any]) -> dict[str, Any]:
    """Drops mean and std, which have a value per channel of images that are not RGB."""
    return {name: value for name, value in transform.items() if name not in ("mean", "std")}


def rejected(rule: str, name: str, value: object, file: str = "config.json") -> InputError:
    """Returns the error for a field of a JSON file."""
    return InputError(f"{file}: {rule}. Received: {name}={shown(value, 60)}")
