"""How sail-sg, timm, transformers and OpenMMLab name and shape the weights of a MetaFormer.

There is one declarative row per layout. The names in a checkpoint determine its row; `tensors`
lists all tensors that a row and a config determine, and `architecture` infers the config from
their shapes.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from keras_poolformer.checkpoints.other_networks import network_name
from keras_poolformer.config_fields import NORMS, SEMANTIC_FPN, TOKEN_MIXERS
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


@dataclass(frozen=True)
class Layout:
    """Templates of tensor names: {i} is the stage, {j} the block, both from 0.

    sail-sg/poolformer keeps stages and downsampling convolutions in one list: {s} = 2i is the
    index of the stage there, {e} = 2i - 1 that of the convolution before it.
    """

    name: str
    head_kind: str  # head that this library computes with these weights
    stem: str
    downsampling: str
    block: str
    norm1: str
    norm2: str
    fc1: str
    fc2: str
    layer_scale1: str
    layer_scale2: str
    head_norm: str
    head: str
    feature_norm: str = ""  # norm of a stage's output, for detectors; "" where there is none
    norms: tuple[str, ...] = ("group_norm",)  # in networks without embedding norms
    # === The networks of the second paper ===
    token_mixers: tuple[str, ...] = ("pooling",)  # that this library's class supports
    stem_norm: str = ""  # "" where the library has no such networks
    downsampling_norm: str = ""
    needs_embedding_norm: bool = False
    linear_mixers: tuple[str, ...] = ()  # those in whose stages 1x1 weights have two axes
    head_norm_epsilon: float = 1e-5  # of the norm inside an MLP head
    activation: str = "mlp.act"
    res_scale1: str = "res_scale1.scale"
    res_scale2: str = "res_scale2.scale"

    def embedding_name(self, stage: int) -> str:
        """Returns the name of the convolution that opens a stage, without its leaf."""
        return (self.downsampling if stage else self.stem).format(i=stage, e=2 * stage - 1)

    def embedding_norm_name(self, stage: int) -> str:
        """Returns the name of the norm at that convolution, without its leaf; "" for none."""
        return (self.downsampling_norm if stage else self.stem_norm).format(i=stage)

    def block_name(self, stage: int, block: int) -> str:
        """Returns the name of a block, without its leaf."""
        return self.block.format(i=stage, j=block, s=2 * stage)

    def classifier_name(self, names: Collection[str]) -> str:
        """Returns the name of the last linear layer, without its leaf.

        Args:
            names: Names of the tensors, which tell whether the head is an MLP.
        """
        return f"{self.head}.fc2" if f"{self.head}.fc1.weight" in names else self.head

    def feature_norm_name(self, stage: int) -> str:
        """Returns the name of the norm of a stage's output, without its leaf; "" for none."""
        return self.feature_norm.format(s=2 * stage)


SAIL = Layout(
    name="sail",
    head_kind="norm_pool",
    stem="patch_embed.proj",
    downsampling="network.{e}.proj",
    block="network.{s}.{j}",
    norm1="norm1",
    norm2="norm2",
    fc1="mlp.fc1",
    fc2="mlp.fc2",
    layer_scale1="layer_scale_1",
    layer_scale2="layer_scale_2",
    head_norm="norm",
    head="head",
    feature_norm="norm{s}",
    norms=NORMS,
    token_mixers=("pooling", "identity"),
)
TIMM = Layout(
    name="timm",
    head_kind="pool_norm",
    stem="stem.conv",
    downsampling="stages.{i}.downsample.conv",
    block="stages.{i}.blocks.{j}",
    norm1="norm1",
    norm2="norm2",
    fc1="mlp.fc1",
    fc2="mlp.fc2",
    layer_scale1="layer_scale1.scale",
    layer_scale2="layer_scale2.scale",
    head_norm="head.norm",
    head="head.fc",
    token_mixers=("pooling", "identity", "sep_conv", "attention"),
    stem_norm="stem.norm",
    downsampling_norm="stages.{i}.downsample.norm",
    linear_mixers=("attention",),
    head_norm_epsilon=1e-6,
)
HF = Layout(
    name="hf",
    head_kind="norm_pool",
    stem="poolformer.encoder.patch_embeddings.0.projection",
    downsampling="poolformer.encoder.patch_embeddings.{i}.projection",
    block="poolformer.encoder.block.{i}.{j}",
    norm1="before_norm",
    norm2="after_norm",
    fc1="output.conv1",
    fc2="output.conv2",
    layer_scale1="layer_scale_1",
    layer_scale2="layer_scale_2",
    head_norm="norm",
    head="classifier",
)
METAFORMER = Layout(  # sail-sg/metaformer
    name="metaformer",
    head_kind="pool_norm",
    stem="downsample_layers.0.conv",
    downsampling="downsample_layers.{i}.conv",
    block="stages.{i}.{j}",
    norm1="norm1",
    norm2="norm2",
    fc1="mlp.fc1",
    fc2="mlp.fc2",
    layer_scale1="layer_scale1.scale",
    layer_scale2="layer_scale2.scale",
    head_norm="norm",
    head="head",
    token_mixers=TOKEN_MIXERS,
    stem_norm="downsample_layers.0.post_norm",
    downsampling_norm="downsample_layers.{i}.pre_norm",
    needs_embedding_norm=True,
    linear_mixers=TOKEN_MIXERS,
)
# mmsegmentation: a PoolFormer inside a segmenter; `segmenter_tensors` has its neck and head.
MMSEG = replace(
    SAIL,
    name="mmseg",
    head_kind=SEMANTIC_FPN,
    stem=f"backbone.{SAIL.stem}",
    downsampling=f"backbone.{SAIL.downsampling}",
    block=f"backbone.{SAIL.block}",
    head="decode_head.conv_seg",
    feature_norm=f"backbone.{SAIL.feature_norm}",
)
LAYOUTS = {layout.name: layout for layout in (SAIL, TIMM, HF, METAFORMER, MMSEG)}
_BARE_HF = HF.stem.removeprefix("poolformer.")  # transformers' PoolFormerModel
# What every network of a layout has: the weight that identifies it, longest first, and a first
# block.
STEMS = tuple(
    f"{stem}.weight" for stem in (HF.stem, _BARE_HF, METAFORMER.stem, SAIL.stem, TIMM.stem)
)
BLOCKS = (
    "network.0.0.",
    "stages.0.0.",
    "stages.0.blocks.0.",
    "stages_0.blocks.0.",
    "encoder.block.0.0.",
    "poolformer.encoder.block.0.0.",
)

# Axes of a PyTorch tensor in Keras' order, by role.
_TO_KERAS: dict[str, tuple[int, ...]] = {
    "conv": (2, 3, 1, 0),
    "depthwise": (2, 3, 0, 1),
    "linear": (1, 0),
    "pixelwise": (1, 0),  # a linear layer in PyTorch, a 1x1 convolution in Keras
    "vector": (0,),
    "matrix": (0, 1),
}


@dataclass(frozen=True)
class Tensor:
    """One weight of a network.

    Args:
        name: Name in the PyTorch layout.
        shape: Shape in PyTorch.
        path: Path of the Keras variable.
        role: What it is, which decides the order of its axes: a key of `_TO_KERAS`.
    """

    name: str
    shape: tuple[int, ...]
    path: str
    role: str

    @property
    def is_head(self) -> bool:
        """Whether it belongs to the head or a segmenter's neck, not to the backbone."""
        return self.path.startswith(("head", "neck"))

    @property
    def is_classifier(self) -> bool:
        """Whether it belongs to the classifier, whose shape depends on the classes."""
        return self.path.startswith("head/")

    @property
    def is_statistic(self) -> bool:
        """Whether it is a running mean or variance, which no gradient changes."""
        return self.path.endswith(("/moving_mean", "/moving_variance"))

    @property
    def keras_shape(self) -> tuple[int, ...]:
        """Shape of the Keras variable."""
        shape = tuple(self.shape[axis] for axis in _TO_KERAS[self.role])
        return (1, 1, *shape) if self.role == "pixelwise" else shape

    def to_keras(self, array: np.ndarray) -> np.ndarray:
        """Returns a view of an array of PyTorch in Keras' axes."""
        return array.transpose(_TO_KERAS[self.role]).reshape(self.keras_shape)

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Returns a view of an array of Keras in PyTorch's axes."""
        axes = _TO_KERAS[self.role]
        return array.reshape(array.shape[-len(axes) :]).transpose(np.argsort(axes))


def get_layout(name: str) -> Layout:
    """Returns the layout called "sail", "timm", "hf", "metaformer" or "mmseg".

    Raises:
        InputError: There is no such layout.
    """
    if name not in tuple(LAYOUTS):  # compares, so that any object is rejected in words
        raise InputError(f"`layout` must be one of {', '.join(LAYOUTS)}. Received: {shown(name)}")
    return LAYOUTS[name]


def detect_layout(names: Collection[str]) -> Layout:
    """Returns the layout whose stem is among names of tensors.

    Raises:
        InputError: The names are those of another network, which the message names, or unknown.
    """
    if foreign := network_name(names):
        raise InputError(f"the checkpoint is {foreign[0]}: {foreign[1]}")
    for layout in LAYOUTS.values():
        if f"{layout.stem}.weight" in names:
            return layout
    found = ", ".join(sorted(names)[:3])
    stems = ", ".join(f"{layout.stem}.weight ({name})" for name, layout in LAYOUTS.items())
    raise InputError(
        f"the checkpoint is not a MetaFormer in a known layout: it holds {len(names)} tensors "
        f"({found}, ...), none of them a stem: {stems}"
    )
