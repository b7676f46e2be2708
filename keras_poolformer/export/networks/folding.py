"""An equivalent network for inference: all that can be precomputed is folded into the weights.

Exact in real arithmetic; only the order of roundings differs from the model's:

- Each token mixer takes the scale of norm1 in its own way: see mixers.py.
- gamma and beta of norm2 go into the first layer of the MLP, the second layer scale into the
  second one, gamma and beta of the head's norm into the classifier, those of the norm inside an
  MLP head into its last layer.
- The gamma of a norm before a convolution goes into the convolution. A beta cannot: it would
  have to stop at the zero padding. A convolution before a layer norm subtracts the mean.
- Neck and head of a segmenter: semantic_fpn.py.
- StarReLU's scale goes into the layers around it, its bias in an MLP into the second layer's.
- Dropout and stochastic depth do nothing at inference and are left out.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from keras_poolformer.checkpoints.quantization import refuse_quantized
from keras_poolformer.checkpoints.tensors import feature_norm_path
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.export.networks.mixers import fold_mixer
from keras_poolformer.export.networks.operations import (
    BranchNorm,
    FoldedStarReLU,
    NormKind,
    Tensor,
    Weights,
)
from keras_poolformer.export.networks.parts import (
    FoldedBlock,
    FoldedHead,
    FoldedHeadMlp,
    FoldedMlp,
    FoldedNorm,
    FoldedStage,
)
from keras_poolformer.export.networks.patches import PatchGathering
from keras_poolformer.export.networks.semantic_fpn import FoldedSemanticFpn, fold_semantic_fpn
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel


@dataclass(frozen=True)
class FoldedNetwork:
    """A MetaFormer for inference, made of constants; call it with a tensor of any backend.

    Args:
        stages: Stages in order.
        head: Head of a classifier or segmenter, or None for a backbone.
    """

    stages: tuple[FoldedStage, ...]
    head: FoldedHead | FoldedSemanticFpn | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Returns what the model returns: logits, embedding, or last feature map.

        Args:
            images: Normalized images, float (N, H, W, in_channels), in whose dtype the network
                computes.
        """
        streams = self._streams(images)
        return streams[-1] if self.head is None else self.head(streams)

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Returns each stage's output, normed if it has a norm: {"P2": (N, H/4, W/4, C0), ...}.

        Args:
            images: Normalized images, float (N, H, W, in_channels).
        """
        pairs = zip(self.stages, self._streams(images), strict=True)
        return {
            f"P{i + 2}": x if stage.norm is None else stage.norm(x)
            for i, (stage, x) in enumerate(pairs)
        }

    def _streams(self, images: Tensor) -> list[Tensor]:
        """The un-normed output of each stage."""
        x, streams = images, []
        for stage in self.stages:
            x = stage(x)
            streams.append(x)
        return streams


def fold(
    model: MetaFormerModel,
    outputs: str = "logits",
    split_depthwise: bool = False,
    gather_patches: bool = False,
) -> FoldedNetwork:
    """Folds a model.

    Args:
        model: Model to fold.
        outputs: Output to compute: "pyramid" leaves the head out, "embedding" the classifier;
            anything else keeps all that the model has.
        split_depthwise: Whether 7 x 7 depthwise convolutions become sums of smaller ones.
        gather_patches: Whether the embedding of the last of several stages becomes a 1x1
            convolution of patches.

    Returns:
        The folded network, with constants in float64.
    """
    refuse_quantized(model)
    weights = {
        variable.path: np.asarray(variable.numpy(), np.float64) for variable in model.weights
    }
    config = model.config
    stages = tuple(
        _fold_stage(config, weights, index, split_depthwise) for index in range(len(config.depths))
    )
    if gather_patches and len(stages) > 1:  # the first one sees few channels
        stages = (*stages[:-1], _gather_patches(stages[-1]))
    headless = outputs == "pyramid" or isinstance(model, MetaFormerBackbone)
    with_classifier = config.num_classes > 0 and outputs != "embedding"
    if headless:
        return FoldedNetwork(stages)
    if config.is_segmenter:
        return FoldedNetwork(stages, fold_semantic_fpn(config, weights, _block_norm(config)))
    return FoldedNetwork(stages, _fold_head(config, weights, with_classifier))


def _block_norm(config: MetaFormerConfig) -> NormKind:
    return NormKind(config.norm == "layer_norm", config.norm_epsilon)


def _fold_stage(
    config: MetaFormerConfig, weights: Weights, index: int, split_depthwise: bool
) -> FoldedStage:
    path = f"stages_{index}_embedding"
    kernel, bias = weights[f"{path}/projection/kernel"], weights[f"{path}/projection/bias"]
    norm = _fold_norm(weights, f"{path}/norm", NormKind(True, config.norm_epsilon, not index))
    if norm is not None and not index:
        kernel = kernel - kernel.mean(-1, keepdims=True)
        bias = bias - bias.mean()
    elif norm is not None and norm.gamma is not None and norm.beta is None:
        kernel = norm.gamma[:, None] * kernel
        norm = FoldedNorm(norm.kind, None, None)
    return FoldedStage(
        kernel=kernel,
        bias=bias,
        stride=config.strides[index],
        padding=config.paddings[index],
        blocks=tuple(
            _fold_block(config, weights, index, block, split_depthwise)
            for block in range(config.depths[index])
        ),
        norm=_fold_norm(weights, feature_norm_path(index), _block_norm(config)),
        norm_before=norm if index else None,
        norm_after=None if index else norm,
    )


def _gather_patches(stage: FoldedStage) -> FoldedStage:
    if stage.stride == 1:  # no cells to gather
        return stage
    gathering = PatchGathering(stage.kernel.shape[0], stage.stride)
    return dataclasses.replace(stage, kernel=gathering.kernel(stage.kernel), gathering=gathering)


def _fold_norm(weights: Weights, path: str, kind: NormKind) -> FoldedNorm | None:
    if f"{path}/gamma" not in weights:
        return None
    return FoldedNorm(kind, weights[f"{path}/gamma"], weights.get(f"{path}/beta"))


def _fold_block(
    config: MetaFormerConfig, weights: Weights, stage: int, block: int, split_depthwise: bool
) -> FoldedBlock:
    path = f"stages_{stage}_blocks_{block}"
    mixer = config.token_mixers[stage]
    return FoldedBlock(
        norm=_block_norm(config),
        mixer=fold_mixer(weights, path, mixer, config.pool_size, split_depthwise),
        mlp=_fold_mlp(weights, path, config.activation),
        mixer_shortcut=weights.get(f"{path}/res_scale1/gamma"),
        mlp_shortcut=weights.get(f"{path}/res_scale2/gamma"),
    )


def _fold_mlp(weights: Weights, path: str, activation: str) -> FoldedMlp:
    norm = BranchNorm.fold(weights, path, 2)
    kernel1, bias1 = norm.before(weights[f"{path}/mlp/fc1/kernel"])
    bias1 = bias1 + weights.get(f"{path}/mlp/fc1/bias", 0.0)
    kernel2 = weights[f"{path}/mlp/fc2/kernel"] * norm.branch_scale
    bias2 = weights.get(f"{path}/mlp/fc2/bias", 0.0) * norm.branch_scale
    if activation == "star_relu":
        act = FoldedStarReLU.fold(weights, f"{path}/mlp/act")
        kernel1, bias1, kernel2 = kernel1 * act.root, bias1 * act.root, kernel2 * act.sign
        bias2 = bias2 + act.shift * kernel2.sum((0, 1, 2))
        activation = "relu2"
    return FoldedMlp(kernel1, bias1, kernel2, bias2, activation)


def _fold_head(config: MetaFormerConfig, weights: Weights, with_classifier: bool) -> FoldedHead:
    kernel, bias = weights["head_norm/gamma"], weights["head_norm/beta"]
    mlp = None
    if with_classifier:
        first = "head_fc1" if config.head_mlp_ratio else "head"
        kernel, bias = _fold_linear(weights, first, kernel, bias)
    if with_classifier and config.head_mlp_ratio:
        gamma, beta = weights["head_mlp_norm/gamma"], weights["head_mlp_norm/beta"]
        mlp = FoldedHeadMlp(config.head_norm_epsilon, *_fold_linear(weights, "head", gamma, beta))
    return FoldedHead(config.head, _block_norm(config), kernel, bias, mlp)


def _fold_linear(
    weights: Weights, path: str, gamma: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a linear layer with the scale and bias of the norm before it."""
    kernel = weights[f"{path}/kernel"]
    return gamma[:, None] * kernel, beta @ kernel + weights[f"{path}/bias"]
