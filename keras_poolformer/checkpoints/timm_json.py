"""Reads timm's config.json, as timm itself reads it, and translates its fields.

Each function turns a parsed JSON object into keyword arguments of `MetaFormerConfig` or
`ImageTransform`; those classes check the values. `hub_json_writing` is the inverse.
"""

from typing import Any

from keras_poolformer.checkpoints.hub_json import (
    JsonObject,
    label_names,
    rejected,
    without_normalization,
)
from keras_poolformer.checkpoints.layouts import TIMM
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.labels import checked_labels
from keras_poolformer.support.untyped import is_dict, is_list, is_mapping
from keras_poolformer.variants import TIMM_VARIANTS

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


def _timm_pretrained(config: JsonObject) -> dict[str, Any]:
    """Returns the pretrained_cfg of timm's config.json, as timm itself reads it.

    The older form is one dictionary: the preprocessing is next to the architecture, and `labels`
    are today's `label_names`. Fields outside pretrained_cfg take precedence.
    """
    pretrained = config.get("pretrained_cfg", config)
    if not is_mapping(pretrained):
        raise rejected("pretrained_cfg must be an object", "pretrained_cfg", pretrained)
    if pretrained is config and "labels" in config:
        pretrained = {**config, "label_names": config["labels"]}
    outer = {name: config[name] for name in ("num_classes", "label_names") if name in config}
    return {**pretrained, **outer}


def timm_config(config: JsonObject) -> dict[str, Any]:
    """Returns the fields of `MetaFormerConfig` in timm's config.json of a PoolFormer."""
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in TIMM_VARIANTS:
        rule = f"must describe one of timm's {', '.join(TIMM_VARIANTS)}"
        raise rejected(rule, "architecture", architecture)
    fields: dict[str, Any] = {
        **_told_by_name(TIMM_VARIANTS[architecture]),
        "head": "pool_norm",
        "drop_path_rate": 0.0,  # as timm builds the class, unless model_args set it
        **_timm_arguments(config.get("model_args") or {}),
    }
    labels = _timm_pretrained(config).get("label_names")
    if is_dict(labels):  # ids to names
        labels = label_names(labels, "label_names")
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
        raise rejected("model_args must be an object", "model_args", arguments)
    if arguments.get("global_pool", "avg") != "avg":
        raise rejected("global_pool must be avg", "model_args", arguments["global_pool"])
    allowed = (*TIMM_ARGUMENTS, *_TIMM_IGNORED, "global_pool")
    for name in arguments:
        if name not in allowed:
            raise rejected(f"model_args must be among {', '.join(allowed)}", "model_args", name)
    return {TIMM_ARGUMENTS[name]: arguments[name] for name in arguments if name in TIMM_ARGUMENTS}


def timm_transform(config: JsonObject) -> dict[str, Any]:
    """Returns the arguments of `ImageTransform` in timm's config.json, with timm's defaults.

    As in timm's `resolve_data_config`, a value that is null, empty or 0 counts as left out.
    """
    pretrained = _timm_pretrained(config)
    if (pretrained.get("crop_mode") or "center") != "center":
        raise rejected("crop_mode must be center", "crop_mode", pretrained["crop_mode"])
    size = pretrained.get("input_size") or [3, 224, 224]
    if not is_list(size) or len(size) != 3 or size[1] != size[2]:
        raise rejected("input_size must be [channels, side, side]", "input_size", size)
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
        transform = without_normalization(transform)
    return transform | {"size": size[1]}
