"""What folded networks compute with: constants of a tensor's dtype, convolutions, norms."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.models.layers import CHANNELS_LAST

Tensor: TypeAlias = Any  # of whichever backend Keras computes with
Weights: TypeAlias = dict[str, np.ndarray]  # by path


@dataclass(frozen=True)
class Statistics:
    """A feature map's statistics for a norm.

    Args:
        centered: Map minus its mean, (N, H, W, C).
        rstd: 1 / sqrt(variance + epsilon), (N, 1, 1, 1) or, per pixel, (N, H, W, 1).
        per_pixel: Whether each pixel has statistics of its own.
    """

    centered: Tensor
    rstd: Tensor
    per_pixel: bool

    @property
    def normed(self) -> Tensor:
        """The normalized map, (N, H, W, C), without the norm's scale and bias."""
        return self.centered * self.rstd


@dataclass(frozen=True)
class NormKind:
    """How a norm takes its statistics.

    Args:
        per_pixel: Whether over the channels of each pixel (layer norm), instead of over H, W and
            C of each image (group norm).
        epsilon: Number added to the variance.
        is_centered: Whether the mean is 0, whatever the image.
    """

    per_pixel: bool
    epsilon: float
    is_centered: bool = False

    def statistics(self, x: Tensor) -> Statistics:
        """Returns the statistics of a feature map (N, H, W, C)."""
        axes = (3,) if self.per_pixel else (1, 2, 3)
        centered, rstd = centered_and_rstd(x, axes, self.epsilon, self.is_centered)
        return Statistics(centered, rstd, self.per_pixel)


def centered_and_rstd(
    x: Tensor, axes: tuple[int, ...], epsilon: float, is_centered: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns x minus its mean over `axes`, and 1 / sqrt(variance + epsilon)."""
    centered = x if is_centered else x - ops.mean(x, axes, keepdims=True)
    # Not E[x^2] - E[x]^2, which costs the same and cancels where the mean is large.
    variance = ops.mean(centered * centered, axes, keepdims=True)
    return centered, ops.rsqrt(variance + epsilon)


def like(array: np.ndarray, tensor: Tensor) -> Tensor:
    """Returns an array as a tensor of the dtype of `tensor`."""
    return ops.convert_to_tensor(array, dtype=tensor.dtype)


def convolution(
    x: Tensor,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    stride: int = 1,
    padding: str = "valid",
) -> Tensor:
    """Returns a convolution, without padding or, with "same", to the size of the map."""
    result = ops.conv(x, like(kernel, x), stride, padding, CHANNELS_LAST)
    return result if bias is None else result + like(bias, x)


def pad(x: Tensor, padding: int) -> Tensor:
    """Returns a map with `padding` zero pixels on each side."""
    return ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def activate(activation: str, x: Tensor) -> Tensor:
    """Returns an activation of a tensor.

    Args:
        activation: Name in `keras_poolformer.models.activations.ACTIVATION_FUNCTIONS`.
        x: Any shape.
    """
    if activation == "relu2":  # a product: LiteRT has no integer kernel for SQUARE
        rectified = ops.relu(x)
        return rectified * rectified
    return ACTIVATION_FUNCTIONS[activation](x)


@dataclass(frozen=True)
class FoldedStarReLU:
    """s * relu(u)^2 + b as `sign * (relu(root * u)^2 + shift)`.

    So s moves into the linear maps before and after, whatever it is: no division by it.

    Args:
        root: sqrt(|s|), (1,).
        sign: Sign of s, and 1 for 0, (1,).
        shift: Sign times b, (1,).
    """

    root: np.ndarray
    sign: np.ndarray
    shift: np.ndarray

    @classmethod
    def fold(cls, weights: Weights, path: str) -> "FoldedStarReLU":
        """Folds the StarReLU at `path`."""
        scale, bias = weights[f"{path}/scale"], weights[f"{path}/bias"]
        sign = np.where(scale < 0, -1.0, 1.0)
        return cls(np.sqrt(abs(scale)), sign, sign * bias)


@dataclass(frozen=True)
class BranchNorm:
    """The scale and bias of a block's norm, (C,), and the scale of the branch behind it.

    Args:
        gamma: Scale of the norm.
        beta: Bias of the norm, zeros if it has none.
        branch_scale: Layer scale, ones if there is none.
    """

    gamma: np.ndarray
    beta: np.ndarray
    branch_scale: np.ndarray

    @classmethod
    def fold(cls, weights: Weights, path: str, number: int) -> "BranchNorm":
        """Reads norm and layer scale of branch 1 or 2 of the block at `path`."""
        gamma = weights[f"{path}/norm{number}/gamma"]
        beta = weights.get(f"{path}/norm{number}/beta", np.zeros_like(gamma))
        scale = weights.get(f"{path}/layer_scale{number}/gamma", np.ones_like(gamma))
        return cls(gamma, beta, scale)

    def before(self, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel and bias of a 1x1 convolution with the norm's scale and bias in it.

        Args:
            kernel: (1, 1, C, out).
        """
        return self.gamma[:, None] * kernel, self.beta @ kernel[0, 0]
