"""mmsegmentation's own Semantic FPN, where it is installed (`make test-mmsegmentation`).

It imports compiled operators that no Semantic FPN calls; mmcv-lite has none, and empty classes
stand for them. Feature maps are (N, C, H, W).
"""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from typing import Any

import torch

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.support.errors import InputError

_COMPILED = (
    "mmcv.ops",
    "mmcv.ops.nms",
    "mmcv.ops.point_sample",
    "mmcv.ops.multi_scale_deform_attn",
)
# What mmpretrain has besides image networks; it needs an older transformers.
_OPTIONAL = "mmpretrain.models.multimodal"
# Fields that its PoolFormer has no arguments for.
_FIXED = (
    "patch_sizes", "strides", "paddings", "activation", "norm", "norm_epsilon", "in_channels",
    "token_mixers", "use_bias", "use_layer_scale", "embedding_norm", "res_scale_init",
)  # fmt: skip


def is_installed() -> bool:
    """Whether mmsegmentation and what it needs are there."""
    packages = ("mmcv", "mmengine", "mmpretrain", "mmseg")
    return all(importlib.util.find_spec(package) for package in packages)


class MMSegmenter(torch.nn.Module):
    """mmsegmentation's model, with the results of all its parts.

    Args:
        config: Architecture of a segmenter of the first paper.

    Raises:
        InputError: Its PoolFormer cannot have this architecture.
    """

    def __init__(self, config: MetaFormerConfig) -> None:
        super().__init__()
        changed = [
            name for name in _FIXED if getattr(config, name) != getattr(MetaFormerConfig(), name)
        ]
        if changed:
            raise InputError(
                f"mmsegmentation's PoolFormer has another {changed[0]}. Received: "
                f"{getattr(config, changed[0])}"
            )
        self.model = _registry().build(_model_config(config))

    def forward(
        self, pixels: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Returns (normed outputs of the stages, outputs of the neck, logits at stride 4)."""
        normed = self.model.backbone(pixels)
        neck = self.model.neck(normed)
        return list(normed), list(neck), self.model.decode_head(neck)


def build_segmenter(config: MetaFormerConfig) -> MMSegmenter:
    """Returns mmsegmentation's segmenter with fresh weights, for inference."""
    return MMSegmenter(config).eval()


def library_name() -> str:
    """Returns the name and version of the library, for reports."""
    return f"mmsegmentation {importlib.metadata.version('mmsegmentation')}"


def mmseg_name(name: str) -> str:
    """Returns the name in a checkpoint of a tensor of `MMSegmenter`."""
    return name.removeprefix("model.")


def _model_config(config: MetaFormerConfig) -> Any:
    """The model of configs/_base_/models/fpn_poolformer_s12.py, with the widths of a config."""
    levels = len(config.depths)
    arch = {
        "layers": list(config.depths),
        "embed_dims": list(config.widths),
        "mlp_ratios": [config.mlp_ratio] * levels,
        "layer_scale_init_value": config.layer_scale_init,
    }
    neck_width = config.neck_width
    description = {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "mmpretrain.PoolFormer",
            "arch": arch,
            "pool_size": config.pool_size,
            "out_indices": tuple(range(0, 2 * levels, 2)),
            "frozen_stages": -1,
        },
        "neck": {
            "type": "FPN",
            "in_channels": list(config.widths),
            "out_channels": neck_width,
            "num_outs": levels,
        },
        "decode_head": {
            "type": "FPNHead",
            "in_channels": [neck_width] * levels,
            "in_index": list(range(levels)),
            "feature_strides": [4 * 2**level for level in range(levels)],
            "channels": config.segmentation_width,
            "dropout_ratio": config.head_dropout_rate,
            "num_classes": config.num_classes,
            "norm_cfg": {"type": "BN"},
            "align_corners": False,
            "loss_decode": {"type": "CrossEntropyLoss"},
        },
        "test_cfg": {"mode": "whole"},
    }
    return importlib.import_module("mmengine.config").ConfigDict(description)


@functools.cache
def _registry() -> Any:
    """The registry of mmsegmentation's models."""
    for name in _COMPILED:
        sys.modules[name] = _Unused(name)
    vars(sys.modules["mmcv.ops"])["__path__"] = []
    sys.modules[_OPTIONAL] = types.ModuleType(_OPTIONAL)
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for module in ("mmseg.models", "mmpretrain.models"):
            importlib.import_module(module)
        importlib.import_module("mmengine.registry").init_default_scope("mmseg")
    return importlib.import_module("mmseg.registry").MODELS


class _Unused(types.ModuleType):
    """A module of compiled operators: each of its names is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (torch.nn.Module,), {})
