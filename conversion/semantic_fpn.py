"""Semantic FPN in PyTorch, with mmsegmentation's names: FPN and FPNHead on the authors' backbone.

mmsegmentation itself needs six more packages and stand-ins for compiled operators; this is what it
computes (tests/conversion/test_mmsegmentation.py). Feature maps are (N, C, H, W).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from conversion.transformers_poolformer import LayerNormChannel, build_poolformer, sail_name
from keras_poolformer.config import MetaFormerConfig

NAME = "Semantic FPN on transformers' PoolFormer"


class SemanticFPN(nn.Module):
    """The segmenter: backbone with a group norm on each stage's output, neck, head.

    Args:
        config: Architecture of a segmenter of the first paper.
    """

    def __init__(self, config: MetaFormerConfig) -> None:
        super().__init__()
        classifier = build_poolformer(config.replace(head="norm_pool"))
        self.stages: Any = classifier.poolformer
        self.output_norms = nn.ModuleList(make_norm(config, width) for width in config.widths)
        self.neck = FPN(config.widths, config.neck_width)
        self.decode_head = FPNHead(
            len(config.widths), config.neck_width, config.segmentation_width, config.num_classes
        )

    def forward(
        self, pixels: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Returns (normed outputs of the stages, outputs of the neck, logits at stride 4)."""
        stages = self.stages(pixels, output_hidden_states=True).hidden_states
        normed = [norm(stage) for norm, stage in zip(self.output_norms, stages, strict=True)]
        neck = self.neck(normed)
        return normed, neck, self.decode_head(neck)


def make_norm(config: MetaFormerConfig, width: int) -> nn.Module:
    """Returns the norm of a stage's output, as the blocks have it.

    Args:
        config: Architecture of the segmenter.
        width: Number of channels.
    """
    norm = nn.GroupNorm(1, width)
    return norm if config.norm == "group_norm" else LayerNormChannel(norm)


class FPN(nn.Module):
    """The feature pyramid network: lateral 1x1 convolutions, nearest upsampling, 3x3 convolutions.

    Args:
        widths: Channels of the inputs.
        width: Channels of the outputs.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_Conv(inputs, width, 1) for inputs in widths)
        self.fpn_convs = nn.ModuleList(_Conv(width, width, 3) for _ in widths)

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Returns as many maps of the same sizes."""
        sums = [conv(x) for conv, x in zip(self.lateral_convs, features, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            size = sums[level].shape[2:]
            coarser = functional.interpolate(sums[level + 1], size=size, mode="nearest")
            sums[level] = sums[level] + coarser
        return [conv(x) for conv, x in zip(self.fpn_convs, sums, strict=True)]


class FPNHead(nn.Module):
    """The head: convolutions and bilinear upsampling up to the finest map, their sum, the logits.

    Args:
        levels: Number of inputs.
        neck_width: Channels of the inputs.
        width: Channels in between.
        num_classes: Number of classes.
    """

    def __init__(self, levels: int, neck_width: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList(
            _scale(level, neck_width, width) for level in range(levels)
        )
        self.conv_seg = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Returns the logits, at the size of the first input."""
        scales = [scale(x) for scale, x in zip(self.scale_heads, features, strict=True)]
        total, size = scales[0], scales[0].shape[2:]
        for scale in scales[1:]:
            if scale.shape[2:] != size:
                scale = functional.interpolate(
                    scale, size=size, mode="bilinear", align_corners=False
                )
            total = total + scale
        return self.conv_seg(total)


class _Conv(nn.Module):
    """mmcv's ConvModule without norm and activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class _ConvNormReLU(nn.Module):
    """mmcv's ConvModule with a batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


def _scale(level: int, inputs: int, width: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for step in range(max(1, level)):
        parts.append(_ConvNormReLU(width if step else inputs, width))
        if level:
            parts.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*parts)


def build_segmenter(config: MetaFormerConfig) -> SemanticFPN:
    """Returns the segmenter with fresh weights, for inference.

    Args:
        config: Architecture of a segmenter of the first paper.
    """
    return SemanticFPN(config).eval()


def mmseg_name(name: str) -> str:
    """Returns mmsegmentation's name of a tensor of `SemanticFPN`."""
    if name.startswith("output_norms."):
        _, stage, leaf = name.split(".")
        return f"backbone.norm{2 * int(stage)}.{leaf}"
    if name.startswith("stages."):
        return f"backbone.{sail_name(name.replace('stages.', 'poolformer.', 1))}"
    return name
