"""The released segmenters: OpenMMLab's PoolFormers with Semantic FPN, trained on ADE20K."""

import functools
from typing import Any, NamedTuple

from keras_poolformer.config_fields import SEGMENTER_DROPOUT_RATE, SEMANTIC_FPN
from keras_poolformer.labels import Color, checked_palette, read_labels
from keras_poolformer.shipped import ASSETS

ADE20K_CLASSES = 150
ADDRESS = "https://download.openmmlab.com/mmsegmentation/v0.5/poolformer"
_FOLDER = "fpn_{}_8x4_512x512_40k_ade20k"


class SegmenterRelease(NamedTuple):
    """A file of weights that OpenMMLab released.

    Args:
        variant: Name in `VARIANTS`.
        trained: Date and time in the file's name.
        sha256_start: First eight digits of the file's checksum, which its name ends in.
        miou: Mean intersection over union on ADE20K's validation images, in percent, single scale.
    """

    variant: str
    trained: str
    sha256_start: str
    miou: float

    @property
    def file(self) -> str:
        """Path of the file below `ADDRESS`."""
        folder = _FOLDER.format(self.variant)
        return f"{folder}/{folder}_{self.trained}-{self.sha256_start}.pth"

    @property
    def description(self) -> str:
        """One line for lists, without the address."""
        return f"segmenter, ADE20K at 512 pixels, {self.miou} % mIoU (OpenMMLab)"


# Files and figures by configs/poolformer/metafile.yaml of mmsegmentation 1.2.2.
SEGMENTERS = {
    f"{variant}_ade20k": SegmenterRelease(variant, trained, sha256_start, miou)
    for variant, trained, sha256_start, miou in (
        ("poolformer_s12", "20220501_115154", "b5aa2f49", 36.68),
        ("poolformer_s24", "20220503_222049", "394a7cf7", 40.12),
        ("poolformer_s36", "20220501_151122", "b47e607d", 41.61),
        ("poolformer_m36", "20220501_164230", "3dc83921", 41.95),
        ("poolformer_m48", "20220504_003923", "64168d3b", 42.43),
    )
}


def ade20k_fields() -> dict[str, Any]:
    """Returns the fields of a config that the released segmenters have in common."""
    return {
        "head": SEMANTIC_FPN,
        "feature_norms": True,
        "head_dropout_rate": SEGMENTER_DROPOUT_RATE,
        "drop_path_rate": 0.0,
        "num_classes": ADE20K_CLASSES,
        "labels": ade20k_labels(),
        "palette": ade20k_palette(),
    }


@functools.cache
def ade20k_labels() -> tuple[str, ...]:
    """Returns the names of the 150 classes of ADE20K."""
    return read_labels(ASSETS / "ade20k_labels.txt", ADE20K_CLASSES)


@functools.cache
def ade20k_palette() -> tuple[Color, ...]:
    """Returns the colors of these classes."""
    lines = (ASSETS / "ade20k_palette.txt").read_text("utf-8").splitlines()
    return checked_palette([[int(part) for part in line.split()] for line in lines], ADE20K_CLASSES)
