"""An equivalent network for inference: all that can be precomputed is folded into the weights.

Exact in real arithmetic; only the order of roundings differs from the model's:

- The pooling mixer removes what is constant over H and W, so the beta of norm1 cancels and, with
  group norm, the mean: x + s1 * (pool(norm1(x)) - norm1(x)) becomes
  x + rstd(x) * (s1 * gamma1) * (pool(x) - x). Layer norm has a mean and rstd for each pixel, which
  stay before the pooling.
- gamma and beta of norm2 go into the first layer of the MLP, the second layer scale into the
  second one, gamma and beta of the head's norm into the classifier.
- Dropout and stochastic depth do nothing at inference and are left out.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.checkpoints.tensors import feature_norm_path
from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.classifier import LAYER_NORM_EPSILON
from keras_poolformer.models.layers import CHANNELS_LAST, NORM_EPSILON

Tensor: TypeAlias = Any  # of whichever backend Keras computes with
Weights: TypeAlias = dict[str, np.ndarray]  # by path


@dataclass(frozen=True)
class FoldedBlock:
    """One block: the mixer's scale (C,), and kernels (1, 1, in, out) and biases of the MLP."""

    mixer_scale: np.ndarray
    fc1_kernel: np.ndarray
    fc1_bias: np.ndarray
    fc2_kernel: np.ndarray
    fc2_bias: np.ndarray


@dataclass(frozen=True)
class FoldedNorm:
    """The norm on a stage's output; there is no layer behind it to fold it into."""

    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class FoldedStage:
    """One stage: its opening convolution, its blocks, and the norm on its output.

    Args:
        kernel: Kernel of the convolution as Keras has it, (side, side, in, out).
        bias: Bias of the convolution, (out,).
        stride: Stride of the convolution.
        padding: Pixels of zero padding on each side.
        blocks: Blocks in order.
        norm: Norm on the output, or None.
    """

    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    padding: int
    blocks: tuple[FoldedBlock, ...]
    norm: FoldedNorm | None = None


@dataclass(frozen=True)
class FoldedHead:
    """The head.

    Args:
        kind: Order of norm and pooling, "norm_pool" or "pool_norm".
        kernel: Kernel of the classifier times the norm's gamma, (C, classes); without a
            classifier gamma itself, (C,).
        bias: Bias, (classes,) or (C,).
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class FoldedNetwork:
    """A PoolFormer for inference, made of constants; call it with a tensor of any backend.

    Args:
        stages: Stages in order.
        pool_size: Window of the pooling mixer, in pixels.
        activation: Name of the activation of the MLPs.
        head: Head, or None for a backbone.
        norm: Norm of the blocks, "group_norm" or "layer_norm".
    """

    stages: tuple[FoldedStage, ...]
    pool_size: int
    activation: str
    head: FoldedHead | None = None
    norm: str = "group_norm"

    @property
    def norm_axes(self) -> tuple[int, ...]:
        """Axes over which the norms take their statistics."""
        return (3,) if self.norm == "layer_norm" else (1, 2, 3)

    def __call__(self, images: Tensor) -> Tensor:
        """Returns what the model returns: logits, embedding, or last feature map.

        Args:
            images: Normalized images, float (N, H, W, in_channels), in whose dtype the network
                computes.
        """
        features = self._streams(images)[-1]
        return features if self.head is None else _head(self.head, features, self.norm_axes)

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Returns each stage's output, normed if it has a norm: {"P2": (N, H/4, W/4, C0), ...}.

        Args:
            images: Normalized images, float (N, H, W, in_channels).
        """
        pairs = zip(self.stages, self._streams(images), strict=True)
        return {
            f"P{i + 2}": _normed(stage.norm, x, self.norm_axes)
            for i, (stage, x) in enumerate(pairs)
        }

    def _streams(self, images: Tensor) -> list[Tensor]:
        """The un-normed output of each stage."""
        x, streams = images, []
        for stage in self.stages:
            margin = (stage.padding, stage.padding)
            x = ops.pad(x, ((0, 0), margin, margin, (0, 0)))
            x = _convolution(x, stage.kernel, stage.bias, stage.stride)
            for block in stage.blocks:
                x = self._block(x, block)
            streams.append(x)
        return streams

    def _block(self, x: Tensor, block: FoldedBlock) -> Tensor:
        centered, rstd = _centered(x, self.norm_axes, NORM_EPSILON)
        gain = _like(block.mixer_scale, x)
        if self.norm == "layer_norm":
            x = x + self._pool_minus_self(centered * rstd) * gain
        else:
            x = x + self._pool_minus_self(x) * (rstd * gain)
        centered, rstd = _centered(x, self.norm_axes, NORM_EPSILON)
        hidden = _convolution(centered * rstd, block.fc1_kernel, block.fc1_bias)
        hidden = ACTIVATION_FUNCTIONS[self.activation](hidden)
        return x + _convolution(hidden, block.fc2_kernel, block.fc2_bias)

    def _pool_minus_self(self, x: Tensor) -> Tensor:
        pooled = ops.average_pool(
            x, self.pool_size, strides=1, padding="same", data_format=CHANNELS_LAST
        )
        return pooled - x


def _normed(norm: FoldedNorm | None, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    if norm is None:
        return x
    centered, rstd = _centered(x, axes, NORM_EPSILON)
    return centered * (rstd * _like(norm.gamma, x)) + _like(norm.beta, x)


def _head(head: FoldedHead, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Logits (N, classes) or embedding (N, C) of the last feature map (N, H, W, C)."""
    if head.kind == "norm_pool":
        centered, rstd = _centered(x, axes, NORM_EPSILON)
        if axes == (3,):
            embedding = ops.mean(centered * rstd, (1, 2))
        else:
            embedding = ops.mean(centered, (1, 2)) * ops.reshape(rstd, (-1, 1))
    else:
        centered, rstd = _centered(ops.mean(x, (1, 2)), (1,), LAYER_NORM_EPSILON)
        embedding = centered * rstd
    kernel, bias = _like(head.kernel, x), _like(head.bias, x)
    apply_kernel = ops.matmul if head.kernel.ndim == 2 else ops.multiply
    return apply_kernel(embedding, kernel) + bias


def fold(model: MetaFormerModel, outputs: str = "logits") -> FoldedNetwork:
    """Folds a model.

    Args:
        model: Model to fold.
        outputs: Output to compute: "pyramid" leaves the head out, "embedding" the classifier;
            anything else keeps all that the model has.

    Returns:
        The folded network, with constants in float64.
    """
    refuse_quantized(model)
    weights = {
        variable.path: np.asarray(variable.numpy(), np.float64) for variable in model.weights
    }
    config = model.config
    stages = tuple(
        FoldedStage(
            kernel=weights[f"stages_{i}_embedding/projection/kernel"],
            bias=weights[f"stages_{i}_embedding/projection/bias"],
            stride=config.strides[i],
            padding=config.paddings[i],
            blocks=tuple(_fold_block(weights, f"stages_{i}_blocks_{j}") for j in range(depth)),
            norm=_fold_norm(weights, feature_norm_path(i)),
        )
        for i, depth in enumerate(config.depths)
    )
    headless = outputs == "pyramid" or isinstance(model, MetaFormerBackbone)
    with_classifier = config.num_classes > 0 and outputs != "embedding"
    head = None if headless else _fold_head(weights, config.head, with_classifier)
    return FoldedNetwork(stages, config.pool_size, config.activation, head, config.norm)


def _fold_head(weights: Weights, kind: str, with_classifier: bool) -> FoldedHead:
    kernel, bias = weights["head_norm/gamma"], weights["head_norm/beta"]
    if with_classifier:
        bias = bias @ weights["head/kernel"] + weights["head/bias"]
        kernel = kernel[:, None] * weights["head/kernel"]
    return FoldedHead(kind, kernel, bias)


def _fold_norm(weights: Weights, path: str) -> FoldedNorm | None:
    if f"{path}/gamma" not in weights:
        return None
    return FoldedNorm(weights[f"{path}/gamma"], weights[f"{path}/beta"])


def _fold_block(weights: Weights, path: str) -> FoldedBlock:
    scale1, scale2 = (weights.get(f"{path}/layer_scale{i}/gamma", 1.0) for i in (1, 2))
    fc1, fc2 = weights[f"{path}/mlp/fc1/kernel"], weights[f"{path}/mlp/fc2/kernel"]
    return FoldedBlock(
        mixer_scale=scale1 * weights[f"{path}/norm1/gamma"],
        fc1_kernel=weights[f"{path}/norm2/gamma"][:, None] * fc1,
        fc1_bias=weights[f"{path}/norm2/beta"] @ fc1[0, 0] + weights[f"{path}/mlp/fc1/bias"],
        fc2_kernel=fc2 * scale2,
        fc2_bias=weights[f"{path}/mlp/fc2/bias"] * scale2,
    )


def _like(array: np.ndarray, tensor: Tensor) -> Tensor:
    return ops.convert_to_tensor(array, dtype=tensor.dtype)


def _convolution(x: Tensor, kernel: np.ndarray, bias: np.ndarray, stride: int = 1) -> Tensor:
    return ops.conv(x, _like(kernel, x), stride, "valid", CHANNELS_LAST) + _like(bias, x)


def _centered(x: Tensor, axes: tuple[int, ...], epsilon: float) -> tuple[Tensor, Tensor]:
    """x minus its mean, and 1 / sqrt(variance + epsilon)."""
    centered = x - ops.mean(x, axes, keepdims=True)
    # Not E[x^2] - E[x]^2, which costs the same and cancels where the mean is large.
    variance = ops.mean(centered * centered, axes, keepdims=True)
    return centered, ops.rsqrt(variance + epsilon)
