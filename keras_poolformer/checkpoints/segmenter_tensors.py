"""The tensors of Semantic FPN's neck and head, as mmsegmentation names them."""

from collections.abc import Collection

from keras_poolformer.checkpoints.layouts import MMSEG, Tensor
from keras_poolformer.checkpoints.tensor_groups import affine, batch_norm
from keras_poolformer.config import MetaFormerConfig

NECK = "neck."
DECODE_HEAD = "decode_head."
# Where batch norms of PyTorch count the batches of training; nothing is computed with it.
BATCH_COUNT = "num_batches_tracked"
_STEM = f"{MMSEG.stem}.weight"
_LATERAL = "neck.lateral_convs.{level}.conv"
_SCALE = "decode_head.scale_heads.{level}.{index}"
FIRST_LATERAL = f"{_LATERAL.format(level=0)}.weight"
FIRST_SCALE = f"{_SCALE.format(level=0, index=0)}.conv.weight"


def is_segmenter(names: Collection[str]) -> bool:
    """Whether names of tensors are those of a Semantic FPN on a PoolFormer."""
    return all(name in names for name in (_STEM, FIRST_LATERAL, FIRST_SCALE))


def neck_and_head(config: MetaFormerConfig) -> list[Tensor]:
    """Returns the tensors of neck and head, with the last layer.

    Args:
        config: Architecture of the segmenter.
    """
    table: list[Tensor] = []
    width = config.neck_width
    for level, inputs in enumerate(config.widths):
        lateral = (width, inputs, 1, 1)
        table += affine(_LATERAL.format(level=level), f"neck_lateral_{level}", lateral, "conv")
        output = (width, width, 3, 3)
        table += affine(f"neck.fpn_convs.{level}.conv", f"neck_output_{level}", output, "conv")
    for level in range(len(config.widths)):
        table += _scale(config, level)
    last = (config.num_classes, config.segmentation_width, 1, 1)
    return [*table, *affine(MMSEG.head, "head", last, "conv")] if config.num_classes else table


def _scale(config: MetaFormerConfig, level: int) -> list[Tensor]:
    """The convolutions of one level, each with its norm; PyTorch counts the upsamplings too."""
    width = config.segmentation_width
    table: list[Tensor] = []
    for step in range(max(1, level)):
        name = _SCALE.format(level=level, index=2 * step)
        inputs = width if step else config.neck_width
        path = f"head_scales_{level}_conv_{step}/kernel"
        table.append(Tensor(f"{name}.conv.weight", (width, inputs, 3, 3), path, "conv"))
        table += batch_norm(f"{name}.bn", f"head_scales_{level}_norm_{step}", width)
    return table
