"""The neck and head of a segmenter for inference: convolutions and resizes, made of constants.

Exact in real arithmetic, for maps that halve from stage to stage:

- The scale and bias of the norm on a stage's output go into the 1x1 convolution behind it.
- Each batch norm goes into the convolution before it.
- The last convolution comes before the last doubling. Both are linear, and work on other axes:
  what is doubled has a channel for each class, once, instead of the head's channels three times.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_poolformer.checkpoints.tensors import feature_norm_path
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.export.networks.operations import NormKind, Tensor, Weights, convolution
from keras_poolformer.models.resizing import resize_bilinear
from keras_poolformer.models.semantic_fpn import BATCH_NORM_EPSILON


@dataclass(frozen=True)
class FoldedConvolution:
    """A convolution that keeps the size of a map.

    Args:
        kernel: Kernel as Keras has it, (side, side, in, out).
        bias: Bias, (out,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the convolved map, (N, H, W, out)."""
        return convolution(x, self.kernel, self.bias, padding="same")

    @classmethod
    def read(cls, weights: Weights, path: str) -> "FoldedConvolution":
        """Reads a convolution as it is."""
        return cls(weights[f"{path}/kernel"], weights[f"{path}/bias"])

    @classmethod
    def fold_behind_norm(cls, weights: Weights, path: str, norm: str) -> "FoldedConvolution":
        """Reads a 1x1 convolution, with the scale and bias of the norm before it."""
        kernel, bias = weights[f"{path}/kernel"], weights[f"{path}/bias"]
        beta = weights.get(f"{norm}/beta", np.zeros(kernel.shape[2]))
        return cls(weights[f"{norm}/gamma"][:, None] * kernel, beta @ kernel[0, 0] + bias)

    @classmethod
    def fold_before_batch_norm(cls, weights: Weights, path: str, norm: str) -> "FoldedConvolution":
        """Reads a convolution without bias, with the batch norm behind it."""
        deviation = np.sqrt(weights[f"{norm}/moving_variance"] + BATCH_NORM_EPSILON)
        gain = weights[f"{norm}/gamma"] / deviation
        bias = weights[f"{norm}/beta"] - weights[f"{norm}/moving_mean"] * gain
        return cls(weights[f"{path}/kernel"] * gain, bias)


@dataclass(frozen=True)
class FoldedSemanticFpn:
    """Neck and head.

    Args:
        norm: Norm on the outputs of the stages, without its scale and bias.
        laterals: 1x1 convolution of each stage.
        outputs: 3x3 convolution of each stage.
        scales: 3x3 convolutions of each stage in the head, a ReLU behind each.
        last: 1x1 convolution that gives the logits.
    """

    norm: NormKind
    laterals: tuple[FoldedConvolution, ...]
    outputs: tuple[FoldedConvolution, ...]
    scales: tuple[tuple[FoldedConvolution, ...], ...]
    last: FoldedConvolution

    def __call__(self, streams: list[Tensor]) -> Tensor:
        """Returns logits (N, H/4, W/4, classes).

        Args:
            streams: Un-normed outputs of the stages, (N, H/4, W/4, C0), (N, H/8, W/8, C1), ...
        """
        finest, *coarser = [self._scale(level, x) for level, x in enumerate(self._neck(streams))]
        logits = self.last(finest)
        if not coarser:
            return logits
        without_bias = convolution(sum(coarser[1:], coarser[0]), self.last.kernel)
        return logits + double_bilinear(without_bias)

    def _neck(self, streams: list[Tensor]) -> list[Tensor]:
        sums = [
            lateral(self.norm.statistics(x).normed)
            for lateral, x in zip(self.laterals, streams, strict=True)
        ]
        for stage in reversed(range(len(sums) - 1)):
            sums[stage] = sums[stage] + double_nearest(sums[stage + 1])
        return [output(x) for output, x in zip(self.outputs, sums, strict=True)]

    def _scale(self, level: int, x: Tensor) -> Tensor:
        """A level's map at the second finest level's size; the finest one at its own."""
        for step, scale in enumerate(self.scales[level]):
            x = ops.relu(scale(double_bilinear(x) if step else x))
        return x


def fold_semantic_fpn(
    config: MetaFormerConfig, weights: Weights, norm: NormKind
) -> FoldedSemanticFpn:
    """Folds neck and head.

    Args:
        config: Architecture of the segmenter.
        weights: Its weights, float64.
        norm: Norm on the outputs of the stages.
    """
    stages = range(len(config.depths))
    return FoldedSemanticFpn(
        norm=norm,
        laterals=tuple(
            FoldedConvolution.fold_behind_norm(
                weights, f"neck_lateral_{stage}", feature_norm_path(stage)
            )
            for stage in stages
        ),
        outputs=tuple(FoldedConvolution.read(weights, f"neck_output_{stage}") for stage in stages),
        scales=tuple(_fold_scale(weights, f"head_scales_{level}", level) for level in stages),
        last=FoldedConvolution.read(weights, "head"),
    )


def _fold_scale(weights: Weights, path: str, level: int) -> tuple[FoldedConvolution, ...]:
    return tuple(
        FoldedConvolution.fold_before_batch_norm(
            weights, f"{path}_conv_{step}", f"{path}_norm_{step}"
        )
        for step in range(max(1, level))
    )


def double_bilinear(x: Tensor) -> Tensor:
    """Returns a map (N, H, W, C) at twice its height and width, interpolated."""
    return resize_bilinear(x, 2 * x.shape[1], 2 * x.shape[2])


def double_nearest(x: Tensor) -> Tensor:
    """Returns a map (N, H, W, C) at twice its height and width, every pixel four times.

    By concatenations, which XNNPACK takes; `repeat` and `resize` would become TILE and
    RESIZE_NEAREST_NEIGHBOR, which split the graph into several partitions.
    """
    _, height, width, channels = x.shape
    wide = ops.reshape(ops.concatenate([x, x], 3), (-1, height, 2 * width, channels))
    twice = ops.concatenate([wide, wide], 2)
    return ops.reshape(twice, (-1, 2 * height, 2 * width, channels))
