"""The PyTorch classes that Keras models are compared with.

transformers' class computes what the authors' code computes, bit for bit at inference, and
is the oracle of the norm_pool head; timm's class is the oracle of the pool_norm head. Names are
mapped by rules that are independent of `keras_poolformer`'s layouts, so that a mistake there
cannot hide itself.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from timm.models.metaformer import GroupNorm1, MetaFormer
from transformers import PoolFormerConfig as HFConfig
from transformers import PoolFormerForImageClassification

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.support.errors import InputError

_HF_TO_SAIL: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"^poolformer\.encoder\.patch_embeddings\.0\.projection\.", lambda m: "patch_embed.proj."),
    (
        r"^poolformer\.encoder\.patch_embeddings\.(\d)\.projection\.",
        lambda m: f"network.{2 * int(m[1]) - 1}.proj.",
    ),
    (r"^poolformer\.encoder\.block\.(\d)\.", lambda m: f"network.{2 * int(m[1])}."),
    (r"\.before_norm\.", lambda m: ".norm1."),
    (r"\.after_norm\.", lambda m: ".norm2."),
    (r"\.output\.conv(\d)\.", lambda m: f".mlp.fc{m[1]}."),
    (r"^classifier\.", lambda m: "head."),
)
_HF_ACTIVATIONS = {"gelu_tanh": "gelu_pytorch_tanh", "hard_swish": "hardswish"}


def sail_name(hf_name: str) -> str:
    """Returns the authors' name of a tensor of transformers' PoolFormerForImageClassification."""
    for pattern, replacement in _HF_TO_SAIL:
        hf_name = re.sub(pattern, replacement, hf_name)
    return hf_name


@dataclass(frozen=True)
class Oracle:
    """A PyTorch PoolFormer, and how to run it.

    Args:
        name: Name of its class.
        module: The `torch.nn.Module`.
        head: "norm_pool" or "pool_norm".
        names: {name in the checkpoint's layout: name in the module}, where they differ.
    """

    name: str
    module: torch.nn.Module
    head: str
    names: Mapping[str, str]

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Loads tensors in float32: strictly, except for the head that a backbone does not have.

        Args:
            arrays: {name in the checkpoint's layout: array}.

        Raises:
            InputError: A tensor is missing or left over.
        """
        state = {
            self.names.get(name, name): torch.from_numpy(np.array(array, np.float32))
            for name, array in arrays.items()
        }
        missing, unexpected = self.module.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith(("head", "norm", "classifier"))]
        if missing or unexpected:
            raise InputError(
                f"{self.name} must get exactly its own tensors. Received: missing {missing}, "
                f"unexpected {unexpected}"
            )

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs images through the network.

        Args:
            images: (N, H, W, C) float32, normalized.

        Returns:
            {"P2": (N, H/4, W/4, C0), ..., "logits": (N, classes)}.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        with torch.inference_mode():
            maps, logits = self._forward(pixels)
        stages = {f"P{i + 2}": m.numpy().transpose(0, 2, 3, 1) for i, m in enumerate(maps)}
        return stages | {"logits": logits.numpy()}

    def _forward(self, pixels: torch.Tensor) -> tuple[Any, torch.Tensor]:
        if isinstance(self.module, MetaFormer):
            maps = self.module.forward_intermediates(pixels, intermediates_only=True)
            return maps, self.module(pixels)
        output = self.module(pixels, output_hidden_states=True)
        return output.hidden_states, output.logits


def build_oracle(config: PoolFormerConfig, layout: str) -> Oracle:
    """Builds the PyTorch class of a layout, with fresh weights.

    Args:
        config: Architecture of the network.
        layout: "sail", "timm" or "hf".

    Raises:
        InputError: That class cannot have this architecture.
    """
    if config.norm != "group_norm" and layout != "sail":
        raise InputError(f"layout {layout} has only group_norm. Received: norm={config.norm!r}")
    if layout == "timm":
        return Oracle("timm.models.metaformer.MetaFormer", _timm(config), "pool_norm", {})
    module = _transformers(config)
    if config.norm == "layer_norm":
        _exchange_norms(module)
    names: dict[str, str] = {}
    if layout == "sail":
        names = {sail_name(name): name for name in module.state_dict()}
    return Oracle("transformers.PoolFormerForImageClassification", module, "norm_pool", names)


def _transformers(config: PoolFormerConfig) -> torch.nn.Module:
    return PoolFormerForImageClassification(
        HFConfig(
            num_channels=config.in_channels,
            depths=list(config.depths),
            hidden_sizes=list(config.widths),
            patch_sizes=list(config.patch_sizes),
            strides=list(config.strides),
            padding=list(config.paddings),
            num_encoder_blocks=len(config.depths),
            pool_size=config.pool_size,
            mlp_ratio=config.mlp_ratio,
            hidden_act=_HF_ACTIVATIONS.get(config.activation, config.activation),
            use_layer_scale=config.use_layer_scale,
            layer_scale_init_value=config.layer_scale_init,
            num_labels=config.num_classes,  # pyright: ignore[reportCallIssue]
        )
    ).eval()


class LayerNormChannel(torch.nn.Module):
    """The norm of the authors' ablation: over the channels of (N, C, H, W), pixel by pixel.

    Args:
        norm: The `torch.nn.GroupNorm` whose weights it takes over.
    """

    def __init__(self, norm: torch.nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the normalized feature map."""
        normed = torch.nn.functional.layer_norm(
            x.movedim(1, -1), self.weight.shape, self.weight, self.bias, eps=1e-5
        )
        return normed.movedim(-1, 1)


def _exchange_norms(module: torch.nn.Module) -> None:
    norms = [name for name, part in module.named_modules() if isinstance(part, torch.nn.GroupNorm)]
    for name in norms:
        parent, _, leaf = name.rpartition(".")
        norm = LayerNormChannel(module.get_submodule(name))
        setattr(module.get_submodule(parent), leaf, norm)


def _timm(config: PoolFormerConfig) -> torch.nn.Module:
    stages = len(config.depths)
    fixed = {
        "mlp_ratio": 4.0,
        "activation": "gelu",
        "patch_sizes": (7, 3, 3, 3)[:stages],
        "strides": (4, 2, 2, 2)[:stages],
        "paddings": (2, 1, 1, 1)[:stages],
    }
    for name, value in fixed.items():
        if getattr(config, name) != value:
            raise InputError(
                f"timm's PoolFormer has {name}={value}. Received: {getattr(config, name)}"
            )
    return MetaFormer(
        in_chans=config.in_channels,
        num_classes=config.num_classes,
        depths=config.depths,
        dims=config.widths,
        downsample_norm=None,
        mlp_act=torch.nn.GELU,
        mlp_bias=True,
        norm_layers=GroupNorm1,
        layer_scale_init_values=config.layer_scale_init if config.use_layer_scale else None,
        res_scale_init_values=None,
        use_mlp_head=False,
        pool_size=config.pool_size,
    ).eval()
