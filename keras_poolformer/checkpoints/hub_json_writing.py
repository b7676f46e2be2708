"""The JSON files that transformers and timm want beside the weights: `hub_json` the other way.

A config is a `PoolFormerConfig`, a transform an `ImageTransform`; the results are JSON-ready.
"""

import math

from keras_poolformer.checkpoints.hub_json import (
    HF_ACTIVATIONS,
    HF_FIELDS,
    HF_FLAGS,
    PIL_RESAMPLING,
    TIMM_ARGUMENTS,
)
from keras_poolformer.config import VARIANTS, PoolFormerConfig
from keras_poolformer.support.errors import InputError

# What timm's five names stand for, beside depths and widths.
_FIXED_IN_TIMM = (
    "patch_sizes", "strides", "paddings", "mlp_ratio", "activation", "use_layer_scale"
)  # fmt: skip


def hf_config_json(config, unused=None, dtype="float32", classifier=True):
    """transformers' config.json: `PoolFormerConfig.from_pretrained` reads it.

    Labels that nobody named become LABEL_0, LABEL_1, ..., as they are there. `dropout_rate` has
    no counterpart; it counts in training alone.

    Args:
        config: the architecture; its head is not looked at, transformers has norm_pool only.
        unused: patch_size and stride, which no code looks at; 16 each by default.
        dtype: of the weights beside it.
        classifier: False for a backbone, transformers' `PoolFormerModel`.

    Returns:
        A dict.
    """
    ours = config.to_dict()
    names = {activation: name for name, activation in reversed(HF_ACTIVATIONS.items())}
    fields = {theirs: ours[field] for theirs, field in HF_FIELDS.items()}
    if config.problem_type is None:
        del fields["problem_type"]
    for name in ("mlp_ratio", "layer_scale_init_value", "initializer_range", "drop_path_rate"):
        fields[name] = float(fields[name])  # transformers refuses a whole number
    labels = config.labels or [f"LABEL_{i}" for i in range(config.num_classes)]
    classes = {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    model_class = "PoolFormerForImageClassification" if classifier else "PoolFormerModel"
    return {
        "architectures": [model_class],
        "model_type": "poolformer",
        **fields,
        "num_encoder_blocks": len(config.depths),
        "hidden_act": names[config.activation],
        "patch_size": 16,
        "stride": 16,
        **(unused or {}),
        **(classes if classifier else {}),
        "dtype": dtype,
    }


def hf_preprocessor_json(transform):
    """transformers' preprocessor_config.json: its PoolFormer image processors read it.

    They split an odd margin as `crop_mode="hf"` does; of a transform with "timm" the crop can lie
    one pixel off.

    Returns:
        A dict.
    """
    size, crop = transform.size, transform.crop_size or transform.size
    pair = isinstance(size, tuple)
    return {
        "image_processor_type": "PoolFormerImageProcessor",
        **{flag: getattr(transform, flag) for flag in HF_FLAGS},
        "size": _height_width(size) if pair else {"shortest_edge": size},
        "crop_pct": transform.crop_pct,
        "resample": PIL_RESAMPLING.index(transform.interpolation),
        "crop_size": _height_width(crop if isinstance(crop, tuple) else (crop, crop)),
        "rescale_factor": transform.rescale_factor,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }


def _height_width(size):
    return {"height": size[0], "width": size[1]}


def timm_config_json(config, transform):
    """timm's config.json: `timm.create_model("local-dir:DIR", pretrained=True)` reads it.

    timm splits an odd margin as `crop_mode="timm"` does; of a transform with "hf" the crop can
    lie one pixel off.

    Args:
        config: the architecture; its head is not looked at, timm has pool_norm only.
        transform: how images are prepared.

    Returns:
        A dict.

    Raises:
        InputError: timm has no name for the architecture, or cannot prepare images so.
    """
    return {
        "architecture": _timm_name(config),
        "num_classes": config.num_classes,
        "num_features": config.widths[-1],
        "global_pool": "avg",
        **({"label_names": list(config.labels)} if config.labels else {}),
        **({"problem_type": config.problem_type} if config.problem_type else {}),
        "model_args": _timm_arguments(config),
        "pretrained_cfg": {
            "num_classes": config.num_classes,
            "input_size": [config.in_channels, *[_timm_side(transform)] * 2],
            "fixed_input_size": False,
            "pool_size": None,
            "crop_pct": 1.0 if transform.crop_pct is None else transform.crop_pct,
            "crop_mode": "center",
            "interpolation": transform.interpolation,
            **_timm_normalization(config, transform),
            "first_conv": "stem.conv",
            "classifier": "head.fc",
        },
    }


def _timm_name(config):
    fixed = {name: getattr(config, name) for name in _FIXED_IN_TIMM}
    for name, variant in VARIANTS.items():
        if (variant.depths, variant.widths) == (config.depths, config.widths) and all(
            getattr(variant, field) == value for field, value in fixed.items()
        ):
            return name
    raise InputError(
        f"timm has names for {', '.join(VARIANTS)} alone. Received: another architecture, "
        f"depths={config.depths}, widths={config.widths}"
    )


def _timm_arguments(config):
    """What the class is to be made with, as far as it is not the default."""
    arguments = {theirs: getattr(config, ours) for theirs, ours in TIMM_ARGUMENTS.items()}
    plain = {theirs: getattr(PoolFormerConfig, ours) for theirs, ours in TIMM_ARGUMENTS.items()}
    arguments |= {"in_chans": config.in_channels}
    plain |= {"in_chans": PoolFormerConfig.in_channels}
    return {name: value for name, value in arguments.items() if value != plain[name]}


def _timm_side(transform):
    """The side of timm's square images, where its evaluation transform is the same."""
    all_steps = all(getattr(transform, flag) for flag in HF_FLAGS)
    plain_scale = math.isclose(transform.rescale_factor, 1 / 255, rel_tol=1e-9)
    size = transform.size if isinstance(transform.size, tuple) else (transform.size,) * 2
    squeezed = isinstance(transform.resized_to, tuple)
    if all_steps and plain_scale and not squeezed and transform.output_shape == size:
        return size[0]
    raise InputError(
        "timm's config.json can only describe a resized, square, centred crop of `size` pixels, "
        f"divided by 255 and normalised. Received: {transform}"
    )


def _timm_normalization(config, transform):
    if config.in_channels != 3:  # mean and std are RGB's
        return {}
    return {"mean": list(transform.mean), "std": list(transform.std)}
