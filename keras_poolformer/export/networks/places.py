"""Positions in the integer network: what scales, ranges and corrections are looked up by."""

from typing import NamedTuple

EMBEDDING = "embedding"
MIXER_SUM = "mixer sum"
MLP_SUM = "mlp sum"
STREAM = (EMBEDDING, MIXER_SUM, MLP_SUM)  # roles of the tensors that a stage's blocks add to
PROJECTION = "projection"  # an embedding before its norm
MIXER = "mixer"  # a token mixer's branch
MLP = "mlp"  # an MLP's
BRANCHES = {MIXER_SUM: MIXER, MLP_SUM: MLP}  # what is added to the stream
MIXER_NORM = "norm1"


class Place(NamedTuple):
    """Position of a tensor that will have 8 bits.

    Args:
        stage: Index of the stage, or None for the image and the head.
        block: Index of the block in its stage, or None outside of the blocks.
        role: What the tensor is for, as in "mlp sum"; for the tensors of a norm, which norm.
        statistic: Step of a norm's statistics, as in "mean", or "" for all other tensors.
    """

    stage: int | None
    block: int | None
    role: str
    statistic: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether the tensor is the residual stream of a stage."""
        return self.role in STREAM

    @property
    def has_scale(self) -> bool:
        """Whether each channel of the tensor is divided by a constant of its own."""
        return self.is_stream or self.role == PROJECTION

    @property
    def is_block_output(self) -> bool:
        """Whether the tensor is what a block returns."""
        return self.role == MLP_SUM

    def at(self, role: str) -> "Place":
        """Returns the place of another role in the same stage and block."""
        return self._replace(role=role)

    def step(self, statistic: str) -> "Place":
        """Returns the place of a step in the statistics of this norm."""
        return self._replace(statistic=statistic)


PIXELS = Place(None, None, "pixels")
OUTPUT = Place(None, None, "output")
HEAD = Place(None, None, "head")
