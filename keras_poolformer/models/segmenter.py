"""The segmenter as a Keras model: the backbone, with the neck and head of Semantic FPN."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, overload

import keras
import numpy as np
import PIL.Image as Image

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEGMENTER_DROPOUT_RATE, SEMANTIC_FPN
from keras_poolformer.images import overlays
from keras_poolformer.images.files import load_image
from keras_poolformer.label_maps import label_map
from keras_poolformer.labels import Color
from keras_poolformer.models import semantic_fpn
from keras_poolformer.models.backbone import MetaFormerBackbone, PoolFormerBackbone
from keras_poolformer.models.base import MetaFormerModel, unique_name
from keras_poolformer.models.losses import PixelCrossEntropy
from keras_poolformer.models.new_head import with_new_head
from keras_poolformer.models.policies import checked_policy, full_precision
from keras_poolformer.provenance import Provenance
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

DEFAULT_CLASSES = 150  # of ADE20K
# What the released segmenters have, and classifiers do not.
SEGMENTER_FIELDS: Mapping[str, Any] = {
    "head": SEMANTIC_FPN,
    "feature_norms": True,
    "head_dropout_rate": SEGMENTER_DROPOUT_RATE,
    "head_mlp_ratio": 0,
    "drop_path_rate": 0.0,
    "problem_type": None,
    "labels": None,
    "palette": None,
}

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class MetaFormerSegmenter(MetaFormerModel):
    """The network with the neck and head of Semantic FPN: a class for each pixel.

    The normed outputs of all stages go through a feature pyramid network and are summed at the
    size of the first one, as in sail-sg/poolformer/segmentation and mmsegmentation. The last layer
    computes in float32 under mixed precision.

    Args:
        config: Architecture of the network, with `head="semantic_fpn"` and `feature_norms=True`,
            which `from_variant` sets.
        provenance: Where the weights come from: a `Provenance`, its flat fields, or None.
        name: Name of the model; by default "metaformer_segmenter", with a number if that is taken.
        dtype: Dtype policy; by default Keras' global one.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized; any H and W, unless random mixing fixes
            them. The released weights were evaluated at multiples of 32.

    Returns:
        (N, H/4, W/4, num_classes) logits.
    """

    default_name: ClassVar[str] = "metaformer_segmenter"
    backbone_class: ClassVar[type[MetaFormerBackbone]] = MetaFormerBackbone
    backbone: MetaFormerBackbone
    head: keras.Layer

    def __init__(
        self,
        config: MetaFormerConfig,
        provenance: Provenance | Mapping[str, Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        _check(config)
        dtype = checked_policy(dtype)

        # === Layers ===
        backbone = self.backbone_class(config, dtype=dtype)
        head = semantic_fpn.last_layer(config, full_precision(dtype))

        # === Functional model ===
        features = semantic_fpn.neck(config, list(backbone.pyramid_outputs.values()), dtype)
        outputs = head(semantic_fpn.head(config, features, dtype))
        name = name or unique_name(self.default_name)
        super().__init__(inputs=backbone.input, outputs=outputs, name=name)

        # === Config ===
        self.dtype_policy = dtype
        self.config = config
        self.provenance = provenance
        self.backbone = backbone
        self.head = head

    @classmethod
    def required_fields(cls, config: MetaFormerConfig) -> dict[str, Any]:
        """Returns the fields that a config of another task must get; their head starts fresh."""
        return {} if config.is_segmenter else dict(SEGMENTER_FIELDS)

    @classmethod
    def from_variant(cls, name: str, **overrides: Any) -> Self:
        """Builds a segmenter on a released variant, with fresh weights.

        Args:
            name: Name of a variant, such as "poolformer_s12" or "caformer_s18".
            **overrides: Fields of `MetaFormerConfig`. By default there are 150 classes (ADE20K),
                a dropout of 0.1 before the last layer, and no stochastic depth.
        """
        return super().from_variant(
            name, **{**SEGMENTER_FIELDS, "num_classes": DEFAULT_CLASSES, **overrides}
        )

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in the order of the logits, or None if they have none."""
        return self.config.labels

    @property
    def palette(self) -> tuple[Color, ...] | None:
        """Colors of the classes, (red, green, blue), or None if they have none."""
        return self.config.palette

    @overload
    def predict_labels(self, images: str | os.PathLike[str] | Image.Image) -> np.ndarray: ...
    @overload
    def predict_labels(
        self, images: Sequence[str | os.PathLike[str] | Image.Image | np.ndarray]
    ) -> list[np.ndarray]: ...
    @overload
    def predict_labels(self, images: np.ndarray) -> Any: ...
    def predict_labels(self, images: Any) -> Any:
        """Returns the class of each pixel of pictures, which `transform` prepares.

        Args:
            images: A path, a PIL image or a uint8 array (H, W, 3); or a list of these, or a
                uint8 array (N, H, W, 3).

        Returns:
            (H, W) of the picture's own size, upright, uint8; uint16 for more than 256 classes. For
            several pictures a list.

        Raises:
            InputError: A picture cannot be read, `transform` crops, or the model does not take RGB
                images.
        """
        if self.config.in_channels != 3 or self.transform.do_center_crop:
            raise InputError(
                "`predict_labels` needs RGB images, of which `transform` crops nothing. Received: "
                f"in_channels={self.config.in_channels}, "
                f"do_center_crop={self.transform.do_center_crop}"
            )
        several = isinstance(images, list | tuple) or getattr(images, "ndim", 3) == 4
        maps = [self._label_map(image) for image in (images if several else [images])]
        return maps if several else maps[0]

    def _label_map(self, source: Any) -> np.ndarray:
        picture = load_image(source)
        prepared = self.transform([picture])
        _, height, width, _ = prepared.shape
        logits = np.asarray(self.predict_on_batch(prepared))[0]
        return label_map(logits, (height, width), (picture.height, picture.width))

    def overlay(self, image: Any, labels: np.ndarray) -> Image.Image:
        """Draws labels over an image, half transparent, in the colors of the palette.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3).
            labels: Labels (H, W) of the image's own size, as `predict_labels` returns them. Pixels
                of a class without a color stay as they are.

        Returns:
            RGB image of the same size; in PASCAL VOC's colors if the model has no palette.

        Raises:
            InputError: The image cannot be read, or the labels are not of its size.
        """
        return overlays.overlay(image, labels, self.palette)

    def with_classes(
        self,
        num_classes: int,
        labels: Sequence[str] | None = None,
        palette: Sequence[Color] | None = None,
        seed: int | None = None,
    ) -> Self:
        """Returns a new segmenter with this one's weights up to a fresh last layer.

        This model stays as it is.

        Args:
            num_classes: Number of classes, from 2.
            labels: Class names, or None.
            palette: Color (red, green, blue) of each class, or None.
            seed: Seed of the fresh weights, or None.
        """
        config = self.config.replace(num_classes=num_classes, labels=labels, palette=palette)
        return with_new_head(self, config, semantic_fpn.LAST_STDDEV, seed)

    def default_loss(self) -> keras.losses.Loss:
        """Returns the Keras loss of the logits, for masks of class numbers; 255 is ignored."""
        return PixelCrossEntropy()

    def stage_layers(self) -> list[list[keras.Layer]]:
        """Returns the layers of each stage, with the convolution that opens it."""
        return self.backbone.stage_layers()


@_register
class PoolFormerSegmenter(MetaFormerSegmenter):
    """A `MetaFormerSegmenter`, by the name of the first paper's network."""

    default_name = "poolformer_segmenter"
    backbone_class = PoolFormerBackbone


def _check(config: MetaFormerConfig) -> None:
    """Rejects a config whose head is of another task, or whose maps do not double in size."""
    if config.head != SEMANTIC_FPN or config.feature_norms is not True or config.head_mlp_ratio:
        raise InputError(
            f"a segmenter needs head={SEMANTIC_FPN!r}, feature_norms=True and head_mlp_ratio=0, "
            f"which from_variant and from_preset set. Received: head={config.head!r}, "
            f"feature_norms={config.feature_norms}, head_mlp_ratio={config.head_mlp_ratio}"
        )
    if config.num_classes < 2 or config.problem_type not in (None, "single_label_classification"):
        raise InputError(
            "a segmenter needs `num_classes` from 2, of which each pixel has one. Received: "
            f"num_classes={config.num_classes}, problem_type={shown(config.problem_type)}"
        )
    convolutions = zip(config.patch_sizes, config.strides, config.paddings, strict=True)
    for patch_size, stride, padding in list(convolutions)[1:]:
        if stride != 2 or patch_size != 2 * padding + 1:
            raise InputError(
                "a segmenter needs stages that halve the feature maps: from the second on, "
                "strides of 2 and patch_sizes of 2 * paddings + 1. Received: "
                f"strides={config.strides}, patch_sizes={config.patch_sizes}, "
                f"paddings={config.paddings}"
            )
