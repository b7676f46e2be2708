"""The parts of a folded network: blocks, stages and heads made of constants."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_poolformer.export.networks.mixers import Mixer
from keras_poolformer.export.networks.operations import (
    NormKind,
    Statistics,
    Tensor,
    activate,
    centered_and_rstd,
    convolution,
    like,
    pad,
)
from keras_poolformer.export.networks.patches import PatchGathering
from keras_poolformer.models.heads import LAYER_NORM_EPSILON


@dataclass(frozen=True)
class FoldedMlp:
    """The MLP of a block, behind its norm.

    Args:
        fc1_kernel: Kernel of the first layer, (1, 1, C, hidden).
        fc1_bias: Bias of the first layer, (hidden,).
        fc2_kernel: Kernel of the second layer, (1, 1, hidden, C).
        fc2_bias: Bias of the second layer, (C,).
        activation: Name of the activation in between; StarReLU has become "relu2".
    """

    fc1_kernel: np.ndarray
    fc1_bias: np.ndarray
    fc2_kernel: np.ndarray
    fc2_bias: np.ndarray
    activation: str

    def __call__(self, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        hidden = convolution(statistics.normed, self.fc1_kernel, self.fc1_bias)
        return convolution(activate(self.activation, hidden), self.fc2_kernel, self.fc2_bias)


@dataclass(frozen=True)
class FoldedBlock:
    """One block: `r1 * x + mixer(x)`, then `r2 * x + mlp(x)`.

    Args:
        norm: Norm of both branches.
        mixer: Token mixer, with norm1 and layer scale.
        mlp: MLP, with norm2 and layer scale.
        mixer_shortcut: Scale r1 of the shortcut, (C,), or None for none.
        mlp_shortcut: Scale r2 of the shortcut, (C,), or None for none.
    """

    norm: NormKind
    mixer: Mixer
    mlp: FoldedMlp
    mixer_shortcut: np.ndarray | None = None
    mlp_shortcut: np.ndarray | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the block's output, (N, H, W, C)."""
        branch = self.mixer(x, self.norm.statistics(x))
        x = _shortcut(x, self.mixer_shortcut) + branch
        branch = self.mlp(self.norm.statistics(x))
        return _shortcut(x, self.mlp_shortcut) + branch


@dataclass(frozen=True)
class FoldedNorm:
    """A norm that no neighbor takes completely.

    Args:
        kind: How it takes statistics.
        gamma: Scale, (C,), or None where the layer behind it has it.
        beta: Bias, (C,), or None for none.
    """

    kind: NormKind
    gamma: np.ndarray | None
    beta: np.ndarray | None

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the normalized map, (N, H, W, C)."""
        statistics = self.kind.statistics(x)
        gain = statistics.rstd
        if self.gamma is not None:
            gain = gain * like(self.gamma, x)
        normed = statistics.centered * gain
        return normed if self.beta is None else normed + like(self.beta, x)


@dataclass(frozen=True)
class FoldedStage:
    """One stage: its opening convolution, its blocks, and the norms around them.

    Args:
        kernel: Kernel of the convolution as Keras has it, (side, side, in, out); with `gathering`
            (1, 1, side * side * in, out).
        bias: Bias of the convolution, (out,).
        stride: Stride of the convolution.
        padding: Pixels of zero padding on each side.
        blocks: Blocks in order.
        norm: Norm on the output, or None.
        norm_before: Norm on the convolution's input, or None.
        norm_after: Norm on the convolution's output, or None.
        gathering: What makes the convolution a 1x1 convolution of patches, or None.
    """

    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    padding: int
    blocks: tuple[FoldedBlock, ...]
    norm: FoldedNorm | None = None
    norm_before: FoldedNorm | None = None
    norm_after: FoldedNorm | None = None
    gathering: PatchGathering | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the stage's output, un-normed, of its input."""
        if self.norm_before is not None:
            x = self.norm_before(x)
        x = pad(x, self.padding)
        if self.gathering is None:
            x = convolution(x, self.kernel, self.bias, self.stride)
        else:
            x = convolution(self.gathering(x), self.kernel, self.bias)
        if self.norm_after is not None:
            x = self.norm_after(x)
        for block in self.blocks:
            x = block(x)
        return x


@dataclass(frozen=True)
class FoldedHeadMlp:
    """The layers behind the first one of an MLP head: squared ReLU, a norm, a linear layer.

    Args:
        epsilon: Epsilon of the norm.
        kernel: Kernel of the last layer times the norm's scale, (hidden, classes).
        bias: Bias of the last layer, (classes,).
    """

    epsilon: float
    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of the first layer's output (N, hidden)."""
        centered, rstd = centered_and_rstd(activate("relu2", x), (1,), self.epsilon)
        return ops.matmul(centered * rstd, like(self.kernel, x)) + like(self.bias, x)


@dataclass(frozen=True)
class FoldedHead:
    """The head.

    Args:
        kind: Order of norm and pooling, "norm_pool" or "pool_norm".
        norm: Norm of the blocks, which "norm_pool" heads have too.
        kernel: Kernel of the first linear layer times the norm's gamma, (C, out); without a
            classifier gamma itself, (C,).
        bias: Bias, (out,) or (C,).
        mlp: Rest of an MLP head, or None.
    """

    kind: str
    norm: NormKind
    kernel: np.ndarray
    bias: np.ndarray
    mlp: FoldedHeadMlp | None = None

    def __call__(self, streams: list[Tensor]) -> Tensor:
        """Returns logits (N, classes) or embedding (N, C) of the stages' outputs, the last one."""
        x = streams[-1]
        embedding = self._normed_mean(x)
        kernel, bias = like(self.kernel, x), like(self.bias, x)
        apply_kernel = ops.matmul if self.kernel.ndim == 2 else ops.multiply
        outputs = apply_kernel(embedding, kernel) + bias
        return outputs if self.mlp is None else self.mlp(outputs)

    def _normed_mean(self, x: Tensor) -> Tensor:
        if self.kind == "pool_norm":
            centered, rstd = centered_and_rstd(ops.mean(x, (1, 2)), (1,), LAYER_NORM_EPSILON)
            return centered * rstd
        statistics = self.norm.statistics(x)
        if statistics.per_pixel:
            return ops.mean(statistics.normed, (1, 2))
        return ops.mean(statistics.centered, (1, 2)) * ops.reshape(statistics.rstd, (-1, 1))


def _shortcut(x: Tensor, scale: np.ndarray | None) -> Tensor:
    return x if scale is None else x * like(scale, x)
