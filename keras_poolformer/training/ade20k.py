"""The recipes of segmenters on ADE20K, as rows: name, and the released weights that it leads to."""

from keras_poolformer.sources.segmenters import SEGMENTERS, SegmenterRelease

ADE20K: dict[str, SegmenterRelease] = {
    name.replace("poolformer", "semantic_fpn"): release for name, release in SEGMENTERS.items()
}
