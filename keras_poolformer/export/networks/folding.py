"""The network as a device runs it: the same function, with all done that can be done before.

Exact in real arithmetic; only the order of roundings differs from the model's:

- The pooling mixer takes away what is constant over H and W, so the beta of norm1 cancels and,
  with group norm, the mean: x + s1 * (pool(norm1(x)) - norm1(x)) becomes
  x + rstd(x) * (s1 * gamma1) * (pool(x) - x). Layer norm has a mean and rstd for each pixel, which
  stay before the pooling.
- gamma and beta of norm2 go into the first layer of the MLP, the second layer scale into the
  second one, gamma and beta of the head's norm into the classifier.
- Dropout and stochastic depth, which do nothing at inference, are gone.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_poolformer.checkpoints.layouts import feature_norm_path
from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.models.backbone import PoolFormerBackbone
from keras_poolformer.models.classifier import LAYER_NORM_EPSILON
from keras_poolformer.models.layers import ACTIVATION_FUNCTIONS, CHANNELS_LAST, NORM_EPSILON


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
    """The norm on a stage's output; it stands before nothing that could take it in."""

    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class FoldedStage:
    """One stage: its opening convolution (kernel as Keras has it), its blocks, and the norm
    of what it hands out, if there is one."""

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
        kind: "norm_pool" or "pool_norm".
        kernel: (C, classes), the classifier with the norm's gamma in it; without a
            classifier gamma itself, (C,).
        bias: (classes,) or (C,).
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class FoldedNetwork:
    """A PoolFormer for inference, made of constants; call it with a tensor of any backend.

    Args:
        stages: in order.
        pool_size: window of the mixer.
        activation: of the MLPs, a name.
        head: None for a backbone.
        norm: "group_norm" or "layer_norm".
    """

    stages: tuple[FoldedStage, ...]
    pool_size: int
    activation: str
    head: FoldedHead | None = None
    norm: str = "group_norm"

    @property
    def norm_axes(self):
        """Axes of the norms' statistics."""
        return (3,) if self.norm == "layer_norm" else (1, 2, 3)

    def __call__(self, images):
        """Returns what the model returns: logits, embedding, or last feature map.

        Args:
            images: float tensor (N, H, W, in_channels), normalised; its dtype is computed in.
        """
        features = self._streams(images)[-1]
        return features if self.head is None else _head(self.head, features, self.norm_axes)

    def pyramid(self, images):
        """Returns each stage's output, normed if it has a norm: {"P2": (N, H/4, W/4, C0), ...}."""
        pairs = zip(self.stages, self._streams(images), strict=True)
        return {
            f"P{i + 2}": _normed(stage.norm, x, self.norm_axes)
            for i, (stage, x) in enumerate(pairs)
        }

    def _streams(self, images):
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

    def _block(self, x, block):
        centred, rstd = _centred(x, self.norm_axes, NORM_EPSILON)
        gain = _like(block.mixer_scale, x)
        if self.norm == "layer_norm":
            x = x + self._pool_minus_self(centred * rstd) * gain
        else:
            x = x + self._pool_minus_self(x) * (rstd * gain)
        centred, rstd = _centred(x, self.norm_axes, NORM_EPSILON)
        hidden = _convolution(centred * rstd, block.fc1_kernel, block.fc1_bias)
        hidden = ACTIVATION_FUNCTIONS[self.activation](hidden)
        return x + _convolution(hidden, block.fc2_kernel, block.fc2_bias)

    def _pool_minus_self(self, x):
        pooled = ops.average_pool(
            x, self.pool_size, strides=1, padding="same", data_format=CHANNELS_LAST
        )
        return pooled - x


def _normed(norm, x, axes):
    if norm is None:
        return x
    centred, rstd = _centred(x, axes, NORM_EPSILON)
    return centred * (rstd * _like(norm.gamma, x)) + _like(norm.beta, x)


def _head(head, x, axes):
    """Logits (N, classes) or embedding (N, C) of the last feature map (N, H, W, C)."""
    if head.kind == "norm_pool":
        centred, rstd = _centred(x, axes, NORM_EPSILON)
        if axes == (3,):
            embedding = ops.mean(centred * rstd, (1, 2))
        else:
            embedding = ops.mean(centred, (1, 2)) * ops.reshape(rstd, (-1, 1))
    else:
        centred, rstd = _centred(ops.mean(x, (1, 2)), (1,), LAYER_NORM_EPSILON)
        embedding = centred * rstd
    kernel, bias = _like(head.kernel, x), _like(head.bias, x)
    apply_kernel = ops.matmul if head.kernel.ndim == 2 else ops.multiply
    return apply_kernel(embedding, kernel) + bias


def fold(model, outputs="logits"):
    """Folds a model.

    Args:
        model: a `PoolFormerImageClassifier` or `PoolFormerBackbone`.
        outputs: "pyramid" leaves the head out, "embedding" the classifier; anything else
            keeps all that the model has.

    Returns:
        A `FoldedNetwork`, its constants in float64.
    """
    refuse_quantized(model)
    weights = {
        variable.path: np.asarray(variable.numpy(), np.float64) for variable in model.weights
    }
    config = model.config
    stages = tuple(
        FoldedStage(
            weights[f"stages_{i}_embedding/projection/kernel"],
            weights[f"stages_{i}_embedding/projection/bias"],
            config.strides[i],
            config.paddings[i],
            tuple(_fold_block(weights, f"stages_{i}_blocks_{j}") for j in range(depth)),
            _fold_norm(weights, feature_norm_path(i)),
        )
        for i, depth in enumerate(config.depths)
    )
    headless = outputs == "pyramid" or isinstance(model, PoolFormerBackbone)
    with_classifier = config.num_classes and outputs != "embedding"
    head = None if headless else _fold_head(weights, config.head, with_classifier)
    return FoldedNetwork(stages, config.pool_size, config.activation, head, config.norm)


def _fold_head(weights, kind, with_classifier):
    kernel, bias = weights["head_norm/gamma"], weights["head_norm/beta"]
    if with_classifier:
        bias = bias @ weights["head/kernel"] + weights["head/bias"]
        kernel = kernel[:, None] * weights["head/kernel"]
    return FoldedHead(kind, kernel, bias)


def _fold_norm(weights, path):
    if f"{path}/gamma" not in weights:
        return None
    return FoldedNorm(weights[f"{path}/gamma"], weights[f"{path}/beta"])


def _fold_block(weights, path):
    scale1, scale2 = (weights.get(f"{path}/layer_scale{i}/gamma", 1.0) for i in (1, 2))
    fc1, fc2 = weights[f"{path}/mlp/fc1/kernel"], weights[f"{path}/mlp/fc2/kernel"]
    return FoldedBlock(
        mixer_scale=scale1 * weights[f"{path}/norm1/gamma"],
        fc1_kernel=weights[f"{path}/norm2/gamma"][:, None] * fc1,
        fc1_bias=weights[f"{path}/norm2/beta"] @ fc1[0, 0] + weights[f"{path}/mlp/fc1/bias"],
        fc2_kernel=fc2 * scale2,
        fc2_bias=weights[f"{path}/mlp/fc2/bias"] * scale2,
    )


def _like(array, tensor):
    return ops.convert_to_tensor(array, dtype=tensor.dtype)


def _convolution(x, kernel, bias, stride=1):
    return ops.conv(x, _like(kernel, x), stride, "valid", CHANNELS_LAST) + _like(bias, x)


def _centred(x, axes, epsilon):
    """x minus its mean, and 1 / sqrt(variance + epsilon)."""
    centred = x - ops.mean(x, axes, keepdims=True)
    # Not E[x^2] - E[x]^2, which costs the same and cancels where the mean is large.
    variance = ops.mean(centred * centred, axes, keepdims=True)
    return centred, ops.rsqrt(variance + epsilon)
