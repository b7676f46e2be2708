"""How sail-sg, timm and transformers name and shape the weights of a PoolFormer.

There is one declarative row per layout. A row and a config determine all tensors that a
checkpoint must hold; the names in a checkpoint determine its row. `architecture` infers the
config from their shapes.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from keras_poolformer.checkpoints.other_networks import network_name
from keras_poolformer.config import NORMS, PoolFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


@dataclass(frozen=True)
class Layout:
    """Templates of tensor names: {i} is the stage, {j} the block, both from 0.

    sail-sg keeps stages and downsampling convolutions in one list: {s} = 2i is the index of the
    stage there, {e} = 2i - 1 that of the convolution before it.
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
    norms: tuple[str, ...] = ("group_norm",)  # norms that this library's class supports

    def embedding_name(self, stage: int) -> str:
        """Returns the name of the convolution that opens a stage, without its leaf."""
        return (self.downsampling if stage else self.stem).format(i=stage, e=2 * stage - 1)

    def block_name(self, stage: int, block: int) -> str:
        """Returns the name of a block, without its leaf."""
        return self.block.format(i=stage, j=block, s=2 * stage)

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
LAYOUTS = {layout.name: layout for layout in (SAIL, TIMM, HF)}
_BARE_HF = HF.stem.removeprefix("poolformer.")  # transformers' PoolFormerModel
# What every network of a layout has: the weight that identifies it, longest first, and a first
# block.
STEMS = tuple(f"{stem}.weight" for stem in (HF.stem, _BARE_HF, SAIL.stem, TIMM.stem))
BLOCKS = (
    "network.0.0.",
    "stages.0.blocks.0.",
    "stages_0.blocks.0.",
    "encoder.block.0.0.",
    "poolformer.encoder.block.0.0.",
)

# Axes of a PyTorch tensor in Keras' order, by role.
TO_KERAS: dict[str, tuple[int, ...]] = {"conv": (2, 3, 1, 0), "linear": (1, 0), "vector": (0,)}


@dataclass(frozen=True)
class Tensor:
    """One weight of a network.

    Args:
        name: Name in the PyTorch layout.
        shape: Shape in PyTorch.
        path: Path of the Keras variable.
        role: Key of `TO_KERAS`.
    """

    name: str
    shape: tuple[int, ...]
    path: str
    role: str

    @property
    def is_head(self) -> bool:
        """Whether it belongs to the head (norm or classifier), not to the backbone."""
        return self.path.startswith("head")

    @property
    def is_classifier(self) -> bool:
        """Whether it belongs to the classifier, whose shape depends on the classes."""
        return self.path.startswith("head/")


def feature_norm_path(stage: int) -> str:
    """Returns the layer name, which is also the variable path, of the norm of a stage's output."""
    return f"stages_{stage}_output_norm"


def get_layout(name: str) -> Layout:
    """Returns the layout called "sail", "timm" or "hf".

    Raises:
        InputError: There is no such layout.
    """
    if name not in tuple(LAYOUTS):  # compares, so that any object is rejected in words
        raise InputError(f"`layout` must be one of {', '.join(LAYOUTS)}. Received: {shown(name)}")
    return LAYOUTS[name]


def expected_tensors(config: PoolFormerConfig, layout: Layout) -> list[Tensor]:
    """Returns every tensor of a classifier; without classes, up to its last norm.

    Args:
        config: Architecture of the network.
        layout: Layout of the names.

    Raises:
        InputError: The config has `feature_norms`, for which the layout has no names, or a norm
            that the layout's library does not support.
    """
    if config.norm not in layout.norms:
        raise InputError(
            f"layout {layout.name} supports only {layout.norms[0]}; {SAIL.name} supports "
            f"{', '.join(SAIL.norms)}. Received: norm={config.norm!r}"
        )
    table: list[Tensor] = []
    for i, depth in enumerate(config.depths):
        inputs = config.widths[i - 1] if i else config.in_channels
        table += _embedding(config, layout, i, inputs)
        for j in range(depth):
            table += _block(config, layout, i, j)
    table += _feature_norms(config, layout)
    last = config.widths[-1]
    table += _norm(layout.head_norm, "head_norm", last)
    if config.num_classes:
        table += _affine(layout.head, "head", (config.num_classes, last), "linear")
    return table


def count_parameters(config: PoolFormerConfig) -> int:
    """Returns the number of weights of a classifier, without building it."""
    return sum(math.prod(tensor.shape) for tensor in expected_tensors(config, SAIL))


def _embedding(config: PoolFormerConfig, layout: Layout, i: int, inputs: int) -> list[Tensor]:
    size = config.patch_sizes[i]
    return _affine(
        layout.embedding_name(i),
        f"stages_{i}_embedding/projection",
        (config.widths[i], inputs, size, size),
        "conv",
    )


def _block(config: PoolFormerConfig, layout: Layout, i: int, j: int) -> list[Tensor]:
    name = layout.block_name(i, j)
    path = f"stages_{i}_blocks_{j}"
    width, hidden = config.widths[i], config.hidden_width(i)
    table = [
        *_norm(f"{name}.{layout.norm1}", f"{path}/norm1", width),
        *_norm(f"{name}.{layout.norm2}", f"{path}/norm2", width),
        *_affine(f"{name}.{layout.fc1}", f"{path}/mlp/fc1", (hidden, width, 1, 1), "conv"),
        *_affine(f"{name}.{layout.fc2}", f"{path}/mlp/fc2", (width, hidden, 1, 1), "conv"),
    ]
    if config.use_layer_scale:
        for scale, template in ((1, layout.layer_scale1), (2, layout.layer_scale2)):
            scale_path = f"{path}/layer_scale{scale}/gamma"
            table.append(Tensor(f"{name}.{template}", (width,), scale_path, "vector"))
    return table


def _feature_norms(config: PoolFormerConfig, layout: Layout) -> list[Tensor]:
    if config.feature_norms and not layout.feature_norm:
        raise InputError(
            f"layout {layout.name} has no names for `feature_norms`, only {SAIL.name} has. "
            f"Received: feature_norms={config.feature_norms}"
        )
    table: list[Tensor] = []
    for i, (level, width) in enumerate(zip(config.levels, config.widths, strict=True)):
        if level in config.normed_levels:
            table += _norm(layout.feature_norm_name(i), feature_norm_path(i), width)
    return table


def _affine(name: str, path: str, shape: tuple[int, ...], role: str) -> list[Tensor]:
    return [
        Tensor(f"{name}.weight", shape, f"{path}/kernel", role),
        Tensor(f"{name}.bias", shape[:1], f"{path}/bias", "vector"),
    ]


def _norm(name: str, path: str, width: int) -> list[Tensor]:
    return [
        Tensor(f"{name}.weight", (width,), f"{path}/gamma", "vector"),
        Tensor(f"{name}.bias", (width,), f"{path}/beta", "vector"),
    ]


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
        f"the checkpoint is not a PoolFormer in a known layout: it holds {len(names)} tensors "
        f"({found}, ...), none of them a stem: {stems}"
    )
