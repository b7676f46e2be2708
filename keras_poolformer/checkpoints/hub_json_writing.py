"""Writes the JSON files that transformers and timm read next to the weights.

The inverse is `hub_json`. All results are JSON-ready.
"""

import math
from collections.abc import Mapping
from typing import Any

from keras_poolformer.checkpoints.hub_json import (
    HF_ACTIVATIONS,
    HF_FIELDS,
    HF_FLAGS,
    PIL_RESAMPLING,
)
from keras_poolformer.checkpoints.timm_json import TIMM_ARGUMENTS
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.options import as_pair
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import TIMM_VARIANTS

# Fields that timm's names fix.
_FIXED_IN_TIMM = (
    "depths", "widths", "patch_sizes", "strides", "paddings", "mlp_ratio", "activation",
    "use_layer_scale", "token_mixers", "norm", "norm_epsilon", "use_bias", "embedding_norm",
    "res_scale_init", "head_mlp_ratio",
)  # fmt: skip


def hf_config_json(
    config: MetaFormerConfig,
    unused: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    classifier: bool = True,
) -> dict[str, Any]:
    """Returns transformers' config.json, which `PoolFormerConfig.from_pretrained` reads.

    Without labels the classes are LABEL_0, LABEL_1, ..., as in transformers. `dropout_rate` has
    no counterpart; it is used only in training.

    Args:
        config: Architecture. Its head is ignored: transformers has only norm_pool.
        unused: patch_size and stride, which transformers ignores; 16 each by default.
        dtype: Dtype of the weights.
        classifier: False for a backbone, transformers' `PoolFormerModel`.
    """
    ours = config.to_dict()
    names = {activation: name for name, activation in reversed(HF_ACTIVATIONS.items())}
    fields = {theirs: ours[field] for theirs, field in HF_FIELDS.items()}
    if config.problem_type is None:
        del fields["problem_type"]
    for name in ("mlp_ratio", "layer_scale_init_value", "initializer_range", "drop_path_rate"):
        fields[name] = float(fields[name])  # transformers rejects a whole number
    labels = config.labels or [f"LABEL_{i}" for i in range(config.num_classes)]
    classes = {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    model_class = "PoolFormerForImageClassification" if classifier else "MetaFormerModel"
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


def hf_preprocessor_json(transform: ImageTransform) -> dict[str, Any]:
    """Returns transformers' preprocessor_config.json, which its image processors read.

    They split an odd margin as `crop_mode="hf"` does; for a transform with "timm" the crop can be
    one pixel off.
    """
    size = transform.size
    return {
        "image_processor_type": "PoolFormerImageProcessor",
        **{flag: getattr(transform, flag) for flag in HF_FLAGS},
        "size": _height_width(size) if isinstance(size, tuple) else {"shortest_edge": size},
        "crop_pct": transform.crop_pct,
        "resample": PIL_RESAMPLING.index(transform.interpolation),
        "crop_size": _height_width(as_pair(transform.crop_size or size)),
        "rescale_factor": transform.rescale_factor,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }


def _height_width(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def timm_config_json(config: MetaFormerConfig, transform: ImageTransform) -> dict[str, Any]:
    """Returns timm's config.json: `timm.create_model("local-dir:DIR", pretrained=True)` reads it.

    timm splits an odd margin as `crop_mode="timm"` does; for a transform with "hf" the crop can
    be one pixel off.

    Args:
        config: Architecture. Its head is ignored: timm has only pool_norm.
        transform: Preprocessing of the images.

    Raises:
        InputError: timm has no name for the architecture, or cannot describe the preprocessing.
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
            "classifier": "head.fc.fc2" if config.head_mlp_ratio else "head.fc",
        },
    }


def _timm_name(config: MetaFormerConfig) -> str:
    for name, variant in TIMM_VARIANTS.items():
        if all(getattr(variant, field) == getattr(config, field) for field in _FIXED_IN_TIMM):
            return name
    raise InputError(
        f"timm has names only for {', '.join(TIMM_VARIANTS)}. Received: another architecture, "
        f"depths={config.depths}, widths={config.widths}"
    )


def _timm_arguments(config: MetaFormerConfig) -> dict[str, Any]:
    """Returns the arguments of timm's class that differ from its defaults."""
    names = TIMM_ARGUMENTS | {"in_chans": "in_channels"}
    values = {theirs: getattr(config, ours) for theirs, ours in names.items()}
    defaults = {theirs: getattr(MetaFormerConfig, ours) for theirs, ours in names.items()}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _timm_side(transform: ImageTransform) -> int:
    """Returns the side of timm's square images, where its evaluation transform is the same."""
    has_all_steps = all(getattr(transform, flag) for flag in HF_FLAGS)
    has_unit_scale = math.isclose(transform.rescale_factor, 1 / 255, rel_tol=1e-9)
    is_squeezed = isinstance(transform.resized_to, tuple)
    size = as_pair(transform.size)
    if has_all_steps and has_unit_scale and not is_squeezed and transform.output_shape == size:
        return size[0]
    raise InputError(
        "timm's config.json can only describe a resized, square, centered crop of `size` pixels, "
        f"divided by 255 and normalized. Received: {transform}"
    )


def _timm_normalization(config: MetaFormerConfig, transform: ImageTransform) -> dict[str, Any]:
    if config.in_channels != 3:  # mean and std are those of RGB
        return {}
    return {"mean": list(transform.mean), "std": list(transform.std)}
