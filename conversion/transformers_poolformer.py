"""transformers' PoolFormer, which computes what the authors' code of the first paper computes."""

import re
from collections.abc import Callable

import torch
from transformers import PoolFormerConfig as HFConfig
from transformers import PoolFormerForImageClassification

from keras_poolformer.config import MetaFormerConfig

NAME = "transformers.PoolFormerForImageClassification"
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


def build_poolformer(config: MetaFormerConfig) -> torch.nn.Module:
    """Returns the class with fresh weights; with layer norm, as the authors' ablation has it.

    Args:
        config: Architecture of a network of the first paper.
    """
    module = PoolFormerForImageClassification(
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
    if config.norm == "layer_norm":
        _exchange_norms(module)
    return module


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
