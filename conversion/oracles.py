"""The PyTorch classes that Keras models are compared with.

transformers' class computes what the authors' code of the first paper computes, bit for bit at
inference, and is the oracle of the norm_pool head; timm's class is the oracle of the pool_norm
head. Networks of the second paper are timm's class too, or made of its parts where only the
authors have them. A segmenter is mmsegmentation's own where that is installed, else our
re-implementation of it in PyTorch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from timm.models.metaformer import MetaFormer

from conversion import mmsegmentation, semantic_fpn, timm_metaformer, transformers_poolformer
from conversion.transformers_poolformer import LayerNormChannel as LayerNormChannel
from conversion.transformers_poolformer import sail_name as sail_name
from keras_poolformer.checkpoints.segmenter_tensors import BATCH_COUNT
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.support.errors import InputError


@dataclass(frozen=True)
class Oracle:
    """A PyTorch MetaFormer, and how to run it.

    Args:
        name: Name of its class.
        module: The `torch.nn.Module`.
        head: "norm_pool", "pool_norm" or "semantic_fpn".
        names: {name in the checkpoint's layout: name in the module}, where they differ.
        linear: Whether 1x1 convolutions have two axes in the checkpoint's layout.
    """

    name: str
    module: torch.nn.Module
    head: str
    names: Mapping[str, str] = field(default_factory=dict)
    linear: bool = False

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Loads tensors: strictly, except for the head that a backbone does not have.

        Args:
            arrays: {name in the checkpoint's layout: array}.

        Raises:
            InputError: A tensor is missing or left over.
        """
        shapes = {name: tensor.shape for name, tensor in self.module.state_dict().items()}
        state: dict[str, torch.Tensor] = {}
        for name, array in arrays.items():
            theirs = self.names.get(name, name)
            tensor = torch.from_numpy(np.array(array, np.float32))
            is_pixelwise = shapes.get(theirs) == (*tensor.shape, 1, 1)
            state[theirs] = tensor[..., None, None] if self.linear and is_pixelwise else tensor
        missing, unexpected = self.module.load_state_dict(state, strict=False)
        optional = ("head", "norm", "classifier")
        missing = [n for n in missing if not (n.startswith(optional) or n.endswith(BATCH_COUNT))]
        if missing or unexpected:
            raise InputError(
                f"{self.name} must get exactly its own tensors. Received: missing {missing}, "
                f"unexpected {unexpected}"
            )

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the tensors with the names and shapes of the checkpoint's layout."""
        ours = {theirs: name for name, theirs in self.names.items()}
        return {
            ours.get(name, name): tensor[..., 0, 0] if self._is_linear(tensor) else tensor
            for name, tensor in self.module.state_dict().items()
        }

    def _is_linear(self, tensor: torch.Tensor) -> bool:
        return self.linear and tensor.shape[2:] == (1, 1)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs images through the network, in the dtype of its weights.

        Args:
            images: (N, H, W, C), normalized.

        Returns:
            {"P2": (N, H/4, W/4, C0), ..., "logits": (N, classes)}. A segmenter's maps are
            normed, "N2", ... are the outputs of its neck, and its logits (N, H/4, W/4, classes).
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        pixels = pixels.to(next(self.module.parameters()).dtype)
        with torch.inference_mode():
            outputs = self._forward(pixels)
        return {
            name: output.movedim(1, -1).numpy() if output.ndim == 4 else output.numpy()
            for name, output in outputs.items()
        }

    def _forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.head == SEMANTIC_FPN:
            maps, neck, logits = self.module(pixels)
            return _levels("P", maps) | _levels("N", neck) | {"logits": logits}
        if isinstance(self.module, MetaFormer):
            features, maps = self.module.forward_intermediates(pixels)
            return _levels("P", maps) | {"logits": self.module.forward_head(features)}
        output = self.module(pixels, output_hidden_states=True)
        return _levels("P", output.hidden_states) | {"logits": output.logits}


def _levels(letter: str, maps: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{letter}{level + 2}": one for level, one in enumerate(maps)}


def build_oracle(config: MetaFormerConfig, layout: str) -> Oracle:
    """Builds the PyTorch class of a layout, with fresh weights.

    Args:
        config: Architecture of the network.
        layout: "sail", "timm", "hf", "metaformer" or "mmseg".

    Raises:
        InputError: That class cannot have this architecture.
    """
    if not config.embedding_norm and config.norm != "group_norm" and layout != "sail":
        raise InputError(f"layout {layout} has only group_norm. Received: norm={config.norm!r}")
    if layout == "timm":
        return Oracle(timm_metaformer.NAME, timm_metaformer.build_timm(config), "pool_norm")
    if layout == "metaformer":
        return _metaformer(config)
    if config.embedding_norm or set(config.token_mixers) != {"pooling"}:
        raise InputError(
            f"transformers' PoolFormer has embedding_norm=False, token_mixers=pooling. Received: "
            f"embedding_norm={config.embedding_norm}, token_mixers={config.token_mixers}"
        )
    if layout == "mmseg":
        return _segmenter(config)
    module = transformers_poolformer.build_poolformer(config)
    names = {sail_name(name): name for name in module.state_dict()} if layout == "sail" else {}
    return Oracle(transformers_poolformer.NAME, module, "norm_pool", names)


def _segmenter(config: MetaFormerConfig) -> Oracle:
    if mmsegmentation.is_installed():
        module = mmsegmentation.build_segmenter(config)
        names = {mmsegmentation.mmseg_name(name): name for name in module.state_dict()}
        return Oracle(mmsegmentation.library_name(), module, SEMANTIC_FPN, names)
    module = semantic_fpn.build_segmenter(config)
    names = {semantic_fpn.mmseg_name(name): name for name in module.state_dict()}
    return Oracle(semantic_fpn.NAME, module, SEMANTIC_FPN, names)


def _metaformer(config: MetaFormerConfig) -> Oracle:
    module = timm_metaformer.build_metaformer(config)
    names = {timm_metaformer.metaformer_name(name): name for name in module.state_dict()}
    name = f"{timm_metaformer.NAME} as sail-sg/metaformer"
    return Oracle(name, module, "pool_norm", names, linear=True)
