"""Says in words what a file is that holds no PoolFormer: other formats, other networks."""

import re
from dataclasses import dataclass
from pathlib import Path

from keras_poolformer.support.errors import InputError

_SAVE = "save model.state_dict() with torch.save"


@dataclass(frozen=True)
class Format:
    """A kind of file, told by its first bytes.

    Args:
        name: With an article.
        advice: What would be right.
        magic: The first bytes; any of them.
        offset: Where they stand.
        suffix: Of such files, where bytes alone do not tell; "" where they do.
    """

    name: str
    advice: str
    magic: tuple[bytes, ...]
    offset: int = 0
    suffix: str = ""

    def fits(self, head, path):
        """Whether a file that begins with `head` is one."""
        magic = head.startswith(self.magic, self.offset)
        return magic and Path(path).suffix.lower().endswith(self.suffix)


_PYTORCH = "convert the PyTorch weights that it was made from"
FORMATS = (
    Format("a Git LFS pointer, not the file itself", "run `git lfs pull` to fetch it",
           (b"version https://git-lfs",)),
    Format("a tar archive, as PyTorch 0.1 wrote them or around other files",
           f"unpack it, or {_SAVE}", (b"ustar",), 257),
    Format("compressed", "unpack it first",
           (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")),
    Format("an HDF5 file, as Keras and TensorFlow write weights of their own networks",
           "give a .keras file that this package saved, or PyTorch weights",
           (b"\x89HDF\r\n\x1a\n",)),
    Format("a GGUF file of quantized language models", _PYTORCH, (b"GGUF",)),
    Format("a NumPy array", f"{_SAVE} instead", (b"\x93NUMPY",)),
    Format("a TensorFlow Lite model", "`keras-poolformer predict` and `benchmark` run it; to "
           "convert, give the weights that it was made from", (b"TFL3",), 4),
    Format("an ONNX program", _PYTORCH, (b"\x08",), suffix=".onnx"),
    Format("an ONNX program", _PYTORCH, tuple(b"\x08%c%c" % (n, tag) for n in range(1, 32)
           for tag in b"\x12\x3a\x42")),
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A kind of network or adapter, told by the names of its tensors.

    Args:
        name: As people call it.
        patterns: Regular expressions; each must be found in some name.
        advice: What would be right; "" for the general one.
    """

    name: str
    patterns: tuple[str, ...]
    advice: str = ""

    def fits(self, names):
        """Whether tensors of these names are its."""
        return all(any(re.search(pattern, name) for name in names) for pattern in self.patterns)


_ATTENTION = r"\b(qkv|query|q_proj|in_proj_weight)\b"
_FAMILY = "of the same family (arXiv 2210.13452), but another network"
# In order: the first that fits is named.
NETWORKS = (
    Network(
        "a LoRA adapter, not the weights of a whole network",
        (r"\blora_(A|B|up|down)\b",),
        "merge it into its base model and save the state_dict() of that",
    ),
    Network(
        "the state of an optimizer",
        (r"\b(exp_avg|exp_avg_sq|momentum_buffer)\b",),
        f"it does not hold the weights of a network: {_SAVE}",
    ),
    Network(f"CAFormer, {_FAMILY}", (r"token_mixer\.qkv\.", r"mlp\.act\.scale$")),
    Network(f"ConvFormer, {_FAMILY}", (r"token_mixer\.pwconv1\.",)),
    Network(f"RandFormer, {_FAMILY}", (r"token_mixer\.random_matrix$",)),
    Network(
        "PoolFormerV2 or IdentityFormer, networks of the same family (arXiv 2210.13452)",
        (r"mlp\.act\.scale$",),
    ),
    Network("a MetaFormer with attention or another mixer", (r"token_mixer\.(qkv|fc)\.",)),
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
    "this package reads PoolFormer (arXiv 2111.11418) in the names of sail-sg, timm, "
    "transformers or OpenMMLab"
)
_DIRECTORIES = {
    "saved_model.pb": "a TensorFlow SavedModel: `keras-poolformer predict` runs it; to convert, "
    "give the weights that it was made from",
    "adapter_config.json": "an adapter (PEFT) without its base model: merge it into the base "
    "model and save that",
    "tf_model.h5": "weights for TensorFlow alone: save the PyTorch weights beside them",
    "flax_model.msgpack": "weights for Flax alone: save the PyTorch weights beside them",
    "model.onnx": f"an ONNX program: {_PYTORCH}",
}


def refuse_file(head, path):
    """Raises an InputError that names the format of a file, if it is a known one.

    Args:
        head: First bytes of the file.
        path: Its name.
    """
    for kind in FORMATS:
        if kind.fits(head, path):
            raise InputError(f"{path} is {kind.name}: {kind.advice}")


def refuse_directory(path):
    """Raises an InputError that says what a directory without PyTorch weights is, if known."""
    for name, meaning in _DIRECTORIES.items():
        if (path / name).exists():
            raise InputError(f"{path} is {meaning}")


def refuse_archive(names, path):
    """Raises an InputError that says what a zip archive without a pickle is, if known.

    Args:
        names: Of its entries.
        path: Its name.
    """
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(f"{path} is an archive of NumPy arrays (.npz): {_SAVE} instead")
    if {"config.json", "model.weights.h5"} <= set(names):
        raise InputError(f"{path} is a .keras file under another name: rename it to end in .keras")


def network_name(names):
    """Returns (name, advice) of a known network with tensors of these names, or None."""
    for network in NETWORKS:
        if network.fits(names):
            return network.name, network.advice or _READS
    return None
