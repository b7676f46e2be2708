"""Token mixers for inference: from a feature map and its statistics to a block's first branch.

The scale and bias of norm1 and the layer scale are part of each mixer. Exact in real arithmetic:

- Pooling removes what is constant over H and W, so the norm's bias cancels and, with group norm,
  the mean: it pools the map itself. Layer norm has a mean and a rstd for each pixel, which stay
  before the pooling.
- Random mixing commutes with all that is the same for each pixel: scales and rstd come after it.
- StarReLU's bias meets the zero padding of the depthwise convolution, so it cannot move behind
  it; its scale moves into the convolutions around it.
- Attention has separate convolutions for queries, keys and values: LiteRT has no kernel for
  unstacking them that XNNPACK runs. The factor of the scores is part of the queries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from keras import ops

from keras_poolformer.config_fields import HEAD_WIDTH, KERNEL_SIZE, attention_heads
from keras_poolformer.export.networks.operations import (
    BranchNorm,
    FoldedStarReLU,
    Statistics,
    Tensor,
    Weights,
    convolution,
    like,
    pad,
)
from keras_poolformer.models.layers import CHANNELS_LAST

# Rows of the parts of a 7 x 7 kernel. XNNPACK has fast depthwise kernels for at most 25 weights.
DEPTHWISE_PARTS = (3, 3, 1)


@dataclass(frozen=True)
class FoldedPooling:
    """pool(x) - x.

    Args:
        scale: Scale of norm and branch, (C,).
        pool_size: Side of the window, in pixels.
    """

    scale: np.ndarray
    pool_size: int

    def __call__(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        gain = like(self.scale, x)
        if statistics.per_pixel:
            return self._pool_minus_self(statistics.normed) * gain
        return self._pool_minus_self(x) * (statistics.rstd * gain)

    def _pool_minus_self(self, x: Tensor) -> Tensor:
        pooled = ops.average_pool(
            x, self.pool_size, strides=1, padding="same", data_format=CHANNELS_LAST
        )
        return pooled - x


@dataclass(frozen=True)
class FoldedIdentity:
    """The norm itself.

    Args:
        scale: Scale of norm and branch, (C,).
        bias: Bias of the norm times the branch's scale, (C,), or None for none.
    """

    scale: np.ndarray
    bias: np.ndarray | None

    def __call__(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        return _scaled(statistics.centered, statistics, self.scale, self.bias)


@dataclass(frozen=True)
class FoldedRandom:
    """A fixed average of all pixels for each pixel.

    Args:
        matrix: Weights (N, N) of the N = H * W pixels, row by row: [input, output].
        scale: Scale of norm and branch, (C,).
        bias: What becomes of the norm's bias, (N, C), or None for none.
    """

    matrix: np.ndarray
    scale: np.ndarray
    bias: np.ndarray | None

    def __call__(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        _, height, width, channels = x.shape
        bias = None
        if self.bias is not None:
            bias = ops.reshape(self.bias, (1, height, width, channels))
        unmixed = statistics.normed if statistics.per_pixel else statistics.centered
        return _scaled(self.mix(unmixed), statistics, self.scale, bias, statistics.per_pixel)

    def mix(self, x: Tensor) -> Tensor:
        """Returns the averages of a map (N, H, W, C)."""
        return self.as_map(ops.matmul(self.as_rows(x), like(self.matrix, x)), x)

    def as_rows(self, x: Tensor) -> Tensor:
        """Returns the pixels of each channel as a row, (N * C, H * W).

        So the product with the constant matrix is a FULLY_CONNECTED.
        """
        _, height, width, channels = x.shape
        tokens = ops.reshape(x, (-1, height * width, channels))
        return ops.reshape(ops.transpose(tokens, (0, 2, 1)), (-1, height * width))

    def as_map(self, rows: Tensor, x: Tensor) -> Tensor:
        """Returns rows as a map of the size of `x`."""
        _, height, width, channels = x.shape
        tokens = ops.transpose(ops.reshape(rows, (-1, channels, height * width)), (0, 2, 1))
        return ops.reshape(tokens, (-1, height, width, channels))


@dataclass(frozen=True)
class FoldedSepConv:
    """A 1x1 convolution, StarReLU, a depthwise convolution with zero padding, a 1x1 convolution.

    Args:
        kernel1: Kernel of the first convolution, (1, 1, C, 2C).
        bias1: Bias of the first convolution, (2C,).
        shift: Number that is added to the squares, (1,).
        depthwise: Depthwise kernel, or its parts from top to bottom, each (rows, 7, 2C, 1).
        kernel2: Kernel of the last convolution, (1, 1, 2C, C).
    """

    kernel1: np.ndarray
    bias1: np.ndarray
    shift: np.ndarray
    depthwise: tuple[np.ndarray, ...]
    kernel2: np.ndarray

    def __call__(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        hidden = ops.relu(convolution(statistics.normed, self.kernel1, self.bias1))
        hidden = hidden * hidden + like(self.shift, x)
        mixed, *others = (
            ops.depthwise_conv(part, like(kernel, x), 1, "valid", CHANNELS_LAST)
            for part, kernel in self.parts(pad(hidden, KERNEL_SIZE // 2))
        )
        for other in others:
            mixed = mixed + other
        return convolution(mixed, self.kernel2)

    def parts(self, padded: Tensor) -> list[tuple[Tensor, np.ndarray]]:
        """Returns the rows of a padded map that each part of the kernel sees, and that part."""
        count, height, width, channels = padded.shape
        pairs = []
        top = 0
        for kernel in self.depthwise:
            rows = kernel.shape[0]
            size = (count, height - KERNEL_SIZE + rows, width, channels)
            pairs.append((ops.slice(padded, (0, top, 0, 0), size), kernel))
            top += rows
        return pairs


@dataclass(frozen=True)
class FoldedAttention:
    """Self-attention over all pixels.

    Args:
        kernels: Kernels of queries, keys and values, each (1, 1, C, inner).
        biases: Biases of queries, keys and values, each (inner,).
        kernel: Kernel of the projection, (1, 1, inner, C).
        heads: Number of heads.
    """

    kernels: tuple[np.ndarray, np.ndarray, np.ndarray]
    biases: tuple[np.ndarray, np.ndarray, np.ndarray]
    kernel: np.ndarray
    heads: int

    def __call__(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Returns the branch, (N, H, W, C)."""
        normed = statistics.normed
        queries, keys, values = (
            self.split(convolution(normed, kernel, bias))
            for kernel, bias in zip(self.kernels, self.biases, strict=True)
        )
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        mixed = self.joined(ops.matmul(ops.softmax(scores), values), x)
        return convolution(mixed, self.kernel)

    def split(self, x: Tensor) -> Tensor:
        """Returns the tokens of each head, (N, heads, H * W, inner / heads)."""
        _, height, width, inner = x.shape
        tokens = ops.reshape(x, (-1, height * width, self.heads, inner // self.heads))
        return ops.transpose(tokens, (0, 2, 1, 3))

    def joined(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Returns the heads' tokens as a map of the size of `x`, (N, H, W, inner)."""
        _, heads, _, head_width = tokens.shape
        shape = (-1, x.shape[1], x.shape[2], heads * head_width)
        return ops.reshape(ops.transpose(tokens, (0, 2, 1, 3)), shape)


Mixer: TypeAlias = FoldedPooling | FoldedIdentity | FoldedRandom | FoldedSepConv | FoldedAttention


def _scaled(
    x: Tensor,
    statistics: Statistics,
    scale: np.ndarray,
    bias: np.ndarray | None,
    is_normed: bool = False,
) -> Tensor:
    """A centered or normed map, times rstd if it is not normed, with a norm's scale and bias."""
    gain = like(scale, x)
    if not is_normed:
        gain = statistics.rstd * gain
    return x * gain if bias is None else x * gain + like(bias, x)


def fold_mixer(
    weights: Weights, path: str, kind: str, pool_size: int, split_depthwise: bool
) -> Mixer:
    """Folds the token mixer of a block, with the norm before it and the scale behind it.

    Args:
        weights: Weights of the model.
        path: Path of the block.
        kind: Name in `keras_poolformer.config_fields.TOKEN_MIXERS`.
        pool_size: Window of pooling, in pixels.
        split_depthwise: Whether depthwise convolutions become sums of `DEPTHWISE_PARTS`.
    """
    norm = BranchNorm.fold(weights, path, 1)
    path = f"{path}/token_mixer"
    scale, bias = norm.gamma * norm.branch_scale, norm.beta * norm.branch_scale
    folders: dict[str, Callable[[], Mixer]] = {
        "pooling": lambda: FoldedPooling(scale, pool_size),
        "identity": lambda: FoldedIdentity(scale, bias if bias.any() else None),
        "random": lambda: _fold_random(weights[f"{path}/random_matrix"], scale, bias),
        "sep_conv": lambda: _fold_sep_conv(weights, path, norm, split_depthwise),
        "attention": lambda: _fold_attention(weights, path, norm),
    }
    return folders[kind]()


def _fold_random(matrix: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> FoldedRandom:
    mixed_bias = matrix.sum(1)[:, None] * bias if bias.any() else None
    return FoldedRandom(matrix.T, scale, mixed_bias)


def _fold_sep_conv(
    weights: Weights, path: str, norm: BranchNorm, split_depthwise: bool
) -> FoldedSepConv:
    act = FoldedStarReLU.fold(weights, f"{path}/act1")
    kernel1, bias1 = norm.before(weights[f"{path}/pwconv1/kernel"])
    depthwise = weights[f"{path}/dwconv/kernel"] * act.sign
    tops = np.cumsum(DEPTHWISE_PARTS)[:-1] if split_depthwise else []
    return FoldedSepConv(
        kernel1=kernel1 * act.root,
        bias1=bias1 * act.root,
        shift=act.shift,
        depthwise=tuple(np.split(depthwise, tops)),
        kernel2=weights[f"{path}/pwconv2/kernel"] * norm.branch_scale,
    )


def _fold_attention(weights: Weights, path: str, norm: BranchNorm) -> FoldedAttention:
    kernel, bias = norm.before(weights[f"{path}/qkv/kernel"])
    factors = (HEAD_WIDTH**-0.5, 1.0, 1.0)
    queries, keys, values = (
        part * factor for part, factor in zip(np.split(kernel, 3, -1), factors, strict=True)
    )
    biases = (part * factor for part, factor in zip(np.split(bias, 3), factors, strict=True))
    return FoldedAttention(
        kernels=(queries, keys, values),
        biases=tuple(biases),
        kernel=weights[f"{path}/proj/kernel"] * norm.branch_scale,
        heads=attention_heads(norm.gamma.size),
    )
