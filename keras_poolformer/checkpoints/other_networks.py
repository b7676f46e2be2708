"""Names the network that a checkpoint holds where it is not a MetaFormer."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from keras_poolformer.checkpoints.reading.file_formats import SAVE


@dataclass(frozen=True)
class Network:
    """A kind of network or adapter, recognized by the names of its tensors.

    Args:
        name: Name for messages, with an article where it needs one.
        patterns: Regular expressions, each of which must be found in some name.
        advice: What to do instead; "" for the general advice.
    """

    name: str
    patterns: tuple[str, ...]
    advice: str = ""

    def fits(self, names: Collection[str]) -> bool:
        """Whether tensors of these names are those of such a network."""
        return all(any(re.search(pattern, name) for name in names) for pattern in self.patterns)


_ATTENTION = r"\b(qkv|query|q_proj|in_proj_weight)\b"
# The first one that fits is named.
NETWORKS = (
    Network(
        "a LoRA adapter, not the weights of a whole network",
        (r"\blora_(A|B|up|down)\b",),
        "merge it into its base model and save the state_dict() of that",
    ),
    Network(
        "the state of an optimizer",
        (r"\b(exp_avg|exp_avg_sq|momentum_buffer)\b",),
        f"it does not hold the weights of a network: {SAVE}",
    ),
    Network(
        "a hybrid of the first paper, with a position embedding (metaformer_ppaa_s12_224)",
        (r"\bnetwork\.\d+\.\d+\.token_mixer\.qkv\.",),
    ),
    Network(
        "a hybrid of the first paper, with SpatialFc (metaformer_ppff_s12_224)",
        (r"\bnetwork\.\d+\.\d+\.token_mixer\.fc\.",),
    ),
    Network("Swin Transformer", (r"\blayers\.\d+\.blocks\..*relative_position_bias_table$",)),
    Network("ViT, DeiT or BEiT", (r"\b(cls_token|class_token)$", _ATTENTION)),
    Network("ViT, DeiT or BEiT", (r"\b(pos_embed|pos_embedding|position_embeddings)$", _ATTENTION)),
    Network("ConvNeXt", (r"\bstages\.\d+\.(blocks\.|layers\.)?\d+\.(conv_dw|dwconv)\.",)),
    Network("ConvNeXt", (r"^features\.1\.0\.block\.0\.", r"\.layer_scale$")),
    Network("ResNet", (r"\blayer1\.0\.conv1\.",)),
    Network("ResNet", (r"\bembedder\.embedder\.convolution\.",)),
    Network("EfficientNet or MobileNet", (r"\b_?conv_stem\.",)),
    Network("EfficientNet or MobileNet", (r"^features\.0\.0\.weight$",)),
    Network("MLP-Mixer", (r"\b(mlp_tokens|token_mixing)\.",)),
)
_READS = (
    "this package reads PoolFormer (arXiv 2111.11418) and its family (arXiv 2210.13452) in the "
    "names of sail-sg, timm, transformers or OpenMMLab"
)


def network_name(names: Collection[str]) -> tuple[str, str] | None:
    """Returns (name, advice) of the known network with tensors of these names, or None."""
    for network in NETWORKS:
        if network.fits(names):
            return network.name, network.advice or _READS
    return None
