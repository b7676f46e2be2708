"""What the JSON files beside timm's and transformers' weights say, in our words.

Each function turns a parsed JSON object into keyword arguments of `PoolFormerConfig` or
`ImageTransform`; those classes judge the values.
"""

from keras_poolformer.config import VARIANTS
from keras_poolformer.errors import InputError

_HF_FIELDS = {
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
    "strides": "strides",
    "use_layer_scale": "use_layer_scale",
}
_HF_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "hardswish": "hard_swish",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_HF_TRANSFORM = ("crop_pct", "do_resize", "do_center_crop", "do_rescale", "rescale_factor",
                 "do_normalize")  # fmt: skip
_PIL_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


def is_hf(config):
    """Whether a config.json was written by transformers."""
    return "model_type" in config


def hf_config(config):
    """Fields of `PoolFormerConfig` in transformers' config.json of a PoolFormer."""
    if config["model_type"] != "poolformer":
        raise InputError(
            f"config.json must describe a poolformer. Received: model_type="
            f"{str(config['model_type'])[:60]!r}"
        )
    fields = {ours: config[theirs] for theirs, ours in _HF_FIELDS.items() if theirs in config}
    stages = config.get("num_encoder_blocks", 4)
    if isinstance(fields.get("depths"), list) and stages != len(fields["depths"]):
        raise InputError(
            f"config.json must have as many depths as encoder blocks. Received: "
            f"depths={str(fields['depths'])[:60]}, num_encoder_blocks={str(stages)[:60]}"
        )
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in _HF_ACTIVATIONS:
        raise InputError(
            f"config.json: hidden_act must be one of {', '.join(_HF_ACTIVATIONS)}. "
            f"Received: {str(activation)[:60]!r}"
        )
    fields["activation"] = _HF_ACTIVATIONS[activation]
    fields["head"] = "norm_pool"
    labels = _id2label(config.get("id2label"))
    if labels:
        fields["labels"] = labels
    if isinstance(config.get("id2label"), dict) and config["id2label"]:
        fields["num_classes"] = len(config["id2label"])
    return fields


def _id2label(id2label):
    """The labels in the order of their ids, or None where they are only placeholders."""
    if not isinstance(id2label, dict) or not id2label:
        return None
    try:
        labels = [id2label[str(i)] for i in range(len(id2label))]
    except KeyError as missing:
        raise InputError(f"config.json: id2label lacks class {missing}") from None
    if labels == [f"LABEL_{i}" for i in range(len(labels))]:
        return None
    return labels


def hf_transform(config):
    """Arguments of `ImageTransform` in transformers' preprocessor_config.json."""
    transform = {name: config[name] for name in _HF_TRANSFORM if name in config}
    transform["crop_mode"] = "hf"
    for name in ("size", "crop_size"):  # the class's default is 224 for each of the two
        transform[name] = _side(config.get(name, 224))
    for theirs, ours in (("image_mean", "mean"), ("image_std", "std")):
        if theirs in config:
            transform[ours] = config[theirs]
    resample = config.get("resample", 3)
    if not isinstance(resample, int) or not 0 <= resample < len(_PIL_RESAMPLING):
        raise InputError(
            f"preprocessor_config.json: resample must be PIL's number of a filter, 0 to 5. "
            f"Received: {str(resample)[:60]!r}"
        )
    transform["interpolation"] = _PIL_RESAMPLING[resample]
    return transform


def _side(size):
    """One side in pixels, from transformers' three ways to say it."""
    if not isinstance(size, dict):
        return size
    if "shortest_edge" in size:
        return size["shortest_edge"]
    height, width = size.get("height"), size.get("width")
    if height is None or height != width:
        raise InputError(
            f"preprocessor_config.json: a size must be square, as PoolFormer's are. "
            f"Received: {str(size)[:60]}"
        )
    return height


def timm_config(config):
    """Fields of `PoolFormerConfig` in timm's config.json of a PoolFormer."""
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in VARIANTS:
        raise InputError(
            f"config.json must describe one of timm's {', '.join(VARIANTS)}. "
            f"Received: architecture={str(architecture)[:60]!r}"
        )
    fields = {"head": "pool_norm"}
    labels = config.get("label_names")
    if isinstance(labels, dict):  # ids to names
        labels = _id2label(labels)
    if labels and not isinstance(labels, list):
        raise InputError(f"config.json: label_names must be a list. Received: {str(labels)[:60]}")
    if labels:
        fields["labels"] = labels
    return fields


def timm_architecture(config):
    """Fields of `PoolFormerConfig` that the name in timm's config.json stands for.

    Empty where it was changed by arguments that config.json has in timm's words.
    """
    if config.get("model_args"):
        return {}
    variant = VARIANTS[config["architecture"]].to_dict()
    return variant | {"num_classes": config.get("num_classes", variant["num_classes"])}


def timm_transform(config):
    """Arguments of `ImageTransform` in the `pretrained_cfg` of timm's config.json."""
    pretrained = config.get("pretrained_cfg", {})
    if not isinstance(pretrained, dict):
        raise InputError("config.json: pretrained_cfg must be an object")
    names = ("crop_pct", "interpolation", "mean", "std")
    transform = {name: pretrained[name] for name in names if name in pretrained}
    if "input_size" in pretrained:
        size = pretrained["input_size"]
        if not isinstance(size, list) or len(size) != 3 or size[1] != size[2]:
            raise InputError(
                f"config.json: input_size must be [channels, side, side]. "
                f"Received: {str(size)[:60]}"
            )
        transform["size"] = size[1]
    return transform
