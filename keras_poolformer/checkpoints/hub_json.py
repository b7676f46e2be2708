"""What the JSON files beside timm's and transformers' weights say, in our words.

Each function turns a parsed JSON object into keyword arguments of `PoolFormerConfig` or
`ImageTransform`; those classes judge the values. `hub_json_writing` is the way back.
"""

from keras_poolformer.config import VARIANTS
from keras_poolformer.labels import checked_labels
from keras_poolformer.support.errors import InputError

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
# transformers' names of the same functions; the first one is written back. Not here: "prelu" and
# "xielu", which have weights, "laplace", which LiteRT has no operator for, "sqrtsoftplus".
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
# {theirs: ours}, of what timm's config.json hands to the model's class.
TIMM_ARGUMENTS = {
    "drop_path_rate": "drop_path_rate",
    "pool_size": "pool_size",
    "proj_drop_rate": "dropout_rate",
}
# timm's preprocessing where its config.json does not say (timm/data/constants.py and config.py).
TIMM_TRANSFORM = {
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
# Shapes tell the first two; the classifier's dropout counts in training alone.
_TIMM_IGNORED = ("in_chans", "num_classes", "drop_rate")


def is_hf(config):
    """Whether a config.json was written by transformers."""
    return "model_type" in config


def hf_config(config):
    """Fields of `PoolFormerConfig` in transformers' config.json of a PoolFormer."""
    if config["model_type"] != "poolformer":
        raise _refused("must describe a poolformer", "model_type", config["model_type"])
    fields = {ours: config[theirs] for theirs, ours in HF_FIELDS.items() if theirs in config}
    stages = config.get("num_encoder_blocks", 4)
    if isinstance(fields.get("depths"), list) and stages != len(fields["depths"]):
        raise InputError(
            f"config.json must have as many depths as encoder blocks. Received: "
            f"depths={str(fields['depths'])[:60]}, num_encoder_blocks={str(stages)[:60]}"
        )
    for name in ("patch_sizes", "strides", "paddings"):
        if isinstance(fields.get(name), list) and isinstance(stages, int):
            fields[name] = fields[name][: max(stages, 0)]  # all that transformers looks at
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in HF_ACTIVATIONS:
        known = ", ".join(HF_ACTIVATIONS)
        raise _refused(f"hidden_act must be one of {known}", "hidden_act", activation)
    return fields | {
        "activation": HF_ACTIVATIONS[activation],
        "head": "norm_pool",
        **_classes(config),
    }


def hf_unused(config):
    """The two fields of transformers' config.json that its class does not look at.

    Raises:
        InputError: one is neither a whole number nor, as patch_size may be, two of them.
    """
    unused = {name: config[name] for name in ("patch_size", "stride") if name in config}
    for name, value in unused.items():
        pair = isinstance(value, list) and len(value) == 2 and name == "patch_size"
        if not all(type(one) is int for one in (value if pair else [value])):
            raise _refused(f"{name} must be a whole number", name, value)
    return unused


def _classes(config):
    """`num_classes` and `labels`, as far as they are told.

    label2id is not consulted, as transformers does not: files exist where it was forgotten.
    """
    id2label, count = config.get("id2label"), config.get("num_labels")
    if count is not None and (type(count) is not int or count < 0):
        raise _refused("num_labels must be a whole number", "num_labels", count)
    if id2label is None:
        return {} if count is None else {"num_classes": count}
    if not isinstance(id2label, dict):
        raise _refused("id2label must be an object", "id2label", id2label)
    if count is not None and count != len(id2label):
        raise _refused(f"id2label must name all {count} classes", "id2label", id2label)
    labels = _id2label(id2label)
    placeholders = [f"LABEL_{i}" for i in range(len(labels))]
    named = {"labels": labels} if labels != placeholders else {}
    return {"num_classes": len(labels), **named}


def _id2label(id2label, name="id2label"):
    """The labels in the order of their ids."""
    try:
        labels = [id2label[str(i)] for i in range(len(id2label))]
    except KeyError as missing:
        raise InputError(f"config.json: {name} lacks class {missing}") from None
    return list(checked_labels(labels, name=f"config.json: {name}"))


def hf_transform(config, channels=3):
    """Arguments of `ImageTransform` in transformers' preprocessor_config.json.

    What transformers leaves out where it is null is left out, and what it then cannot do without
    is refused. data_format is about PyTorch's arrays: ours are channels-last unless a call of
    the transform asks for something else.
    """
    file = "preprocessor_config.json"
    kind = config.get("image_processor_type", config.get("feature_extractor_type", "PoolFormer"))
    if not isinstance(kind, str) or not kind.startswith("PoolFormer"):
        raise _refused("must be of a PoolFormer", "image_processor_type", kind, file)
    if config.get("do_pad"):
        raise _refused("do_pad must be left out", "do_pad", config["do_pad"], file)
    for name in ("data_format", "input_data_format"):
        if config.get(name) not in _DATA_FORMATS:
            raise _refused("must be channels_first or channels_last", name, config[name], file)

    flags = {name: config.get(name, True) for name in HF_FLAGS}
    flags = {name: False if flag is None else flag for name, flag in flags.items()}
    transform = {"crop_mode": "hf", "size": 224, "crop_size": 224, **flags}
    if "crop_pct" in config:
        transform["crop_pct"] = config["crop_pct"]
    for theirs, (ours, flag) in HF_VALUES.items():
        if config.get(theirs) is not None:
            transform[ours] = config[theirs]
        elif theirs in config and flags[flag]:
            raise _refused(f"{theirs} must be given where {flag} is true", theirs, None, file)
    if channels != 3:  # one mean for each channel; pictures are prepared for RGB alone
        transform = {name: transform[name] for name in transform if name not in ("mean", "std")}
    if config.get("default_to_square") and isinstance(transform["size"], int):
        transform["size"] = [transform["size"]] * 2
    if "interpolation" in transform:
        number = transform["interpolation"]
        if type(number) is not int or not 0 <= number < len(PIL_RESAMPLING):
            rule = "resample must be PIL's number of a filter, 0 to 5"
            raise _refused(rule, "resample", number, file)
        transform["interpolation"] = PIL_RESAMPLING[number]
    return transform


def timm_fields(config):
    """Returns (config, pretrained_cfg) of timm's config.json, as timm itself reads the two.

    The older form is one dictionary: the preprocessing stands beside the architecture, and
    `labels` are what is `label_names` now. What both say, the outer one decides.
    """
    pretrained = config.get("pretrained_cfg", config)
    if not isinstance(pretrained, dict):
        raise _refused("pretrained_cfg must be an object", "pretrained_cfg", pretrained)
    if pretrained is config and "labels" in config:
        pretrained = config | {"label_names": config["labels"]}
    outer = {name: config[name] for name in ("num_classes", "label_names") if name in config}
    return config, pretrained | outer


def timm_config(config):
    """Fields of `PoolFormerConfig` in timm's config.json of a PoolFormer."""
    config, pretrained = timm_fields(config)
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise _refused(f"must describe one of timm's {known}", "architecture", architecture)
    fields = {
        "head": "pool_norm",
        "drop_path_rate": 0.0,  # as timm makes the class, unless model_args say otherwise
        **_timm_arguments(config.get("model_args") or {}),
    }
    labels = pretrained.get("label_names")
    if isinstance(labels, dict):  # ids to names
        labels = _id2label(labels, "label_names")
    if labels:
        fields["labels"] = list(checked_labels(labels, name="config.json: label_names"))
    if config.get("problem_type") is not None:  # timm has no word for it and leaves it alone
        fields["problem_type"] = config["problem_type"]
    return fields


def timm_architecture(config):
    """Fields of `PoolFormerConfig` that the name in timm's config.json stands for.

    Empty where it was changed by arguments that config.json has in timm's words.
    """
    if config.get("model_args"):
        return {}
    _, pretrained = timm_fields(config)
    variant = VARIANTS[config["architecture"]].to_dict()
    return variant | {"num_classes": pretrained.get("num_classes", variant["num_classes"])}


def _timm_arguments(arguments):
    if not isinstance(arguments, dict):
        raise _refused("model_args must be an object", "model_args", arguments)
    if arguments.get("global_pool", "avg") != "avg":
        raise _refused("global_pool must be avg", "model_args", arguments["global_pool"])
    for name in arguments:
        known = (*TIMM_ARGUMENTS, *_TIMM_IGNORED, "global_pool")
        if name not in known:
            raise _refused(f"model_args must be among {', '.join(known)}", "model_args", name)
    return {TIMM_ARGUMENTS[name]: arguments[name] for name in arguments if name in TIMM_ARGUMENTS}


def timm_transform(config):
    """Arguments of `ImageTransform` in timm's config.json, with timm's defaults for the rest.

    As timm's `resolve_data_config` has it, a value that is null, empty or 0 counts as left out.
    """
    config, pretrained = timm_fields(config)
    if (pretrained.get("crop_mode") or "center") != "center":
        raise _refused("crop_mode must be center", "crop_mode", pretrained["crop_mode"])
    size = pretrained.get("input_size") or [3, 224, 224]
    if not isinstance(size, list) or len(size) != 3 or size[1] != size[2]:
        raise _refused("input_size must be [channels, side, side]", "input_size", size)
    transform = TIMM_TRANSFORM | {
        name: pretrained[name] for name in TIMM_TRANSFORM if pretrained.get(name)
    }
    for name in ("mean", "std"):  # one value for all channels
        if isinstance(transform[name], list) and len(transform[name]) == 1:
            transform[name] = transform[name][0]
    arguments = config.get("model_args") or {}
    channels = arguments.get("in_chans") if isinstance(arguments, dict) else None
    if (
        channels or size[0]
    ) != 3:  # one value for each channel; pictures are prepared for RGB alone
        transform = {name: transform[name] for name in transform if name not in ("mean", "std")}
    return transform | {"size": size[1]}


def _refused(rule, name, value, file="config.json"):
    return InputError(f"{file}: {rule}. Received: {name}={str(value)[:60]!r}")
