"""The segmenter as a task of KerasHub."""

import os
from typing import Any, Self

import keras
import keras_hub
from keras import ops

from keras_poolformer.hub import loading, tasks
from keras_poolformer.hub.backbone import MetaFormerBackbone
from keras_poolformer.hub.image_converter import MetaFormerImageConverter
from keras_poolformer.label_maps import IGNORED_LABEL
from keras_poolformer.models import semantic_fpn
from keras_poolformer.models.losses import PixelCrossEntropy
from keras_poolformer.models.policies import full_precision
from keras_poolformer.models.resizing import UpsampleLike, resize_bilinear, sides_of
from keras_poolformer.models.segmenter import PoolFormerSegmenter
from keras_poolformer.sources.kerashub import PACKAGE
from keras_poolformer.support.errors import InputError

_register = keras.saving.register_keras_serializable(package=PACKAGE)


@_register
class MetaFormerImageSegmenterPreprocessor(keras_hub.models.ImageSegmenterPreprocessor):
    """Prepares images for a `MetaFormerImageSegmenter`; masks pass unchanged.

    Args:
        image_converter: A `MetaFormerImageConverter`.
        resize_output_mask: Whether masks are resized to the size of the prepared images. The
            segmenter's own loss does not need it: it resizes the logits to the masks.
        **kwargs: Further arguments of KerasHub's preprocessor.
    """

    backbone_cls = MetaFormerBackbone
    image_converter_cls = MetaFormerImageConverter


@_register
class PixelMeanIoU(keras.metrics.MeanIoU):
    """Keras' mean IoU, of logits that are resized to the masks' size as `PixelCrossEntropy` does.

    Args:
        num_classes: Number of classes.
        **kwargs: Further arguments of Keras' metric.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        defaults = {"name": "mean_iou", "ignore_class": IGNORED_LABEL, "sparse_y_pred": False}
        super().__init__(num_classes, **(defaults | kwargs))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Counts a batch.

        Args:
            y_true: (N, H, W) or (N, H, W, 1) class numbers, 255 for none.
            y_pred: (N, h, w, classes) logits.
            sample_weight: As in Keras.
        """
        masks = ops.squeeze(y_true, -1) if len(y_true.shape) == 4 else y_true
        logits = resize_bilinear(y_pred, *sides_of(masks))
        return super().update_state(masks, logits, sample_weight)


@_register
class MetaFormerImageSegmenter(keras_hub.models.ImageSegmenter):
    """The segmenter: the Semantic FPN of `keras_poolformer.MetaFormerSegmenter` on a backbone.

    As KerasHub's segmenters do, and unlike that class, it returns logits at the images' size:
    resized bilinearly, as mmsegmentation resizes them.

    Args:
        backbone: A `MetaFormerBackbone` of this module, with `feature_norms=True`.
        num_classes: Number of classes; by default that in the backbone's config.
        preprocessor: A `MetaFormerImageSegmenterPreprocessor`, another layer, or None for images
            that are prepared already.
        name: Name of the model; by default a new one.
        compile: Whether the model is compiled with the defaults of `compile`.
        **head_fields: Fields of `MetaFormerConfig` of the head, such as `labels`, `palette` and
            `neck_width`; by default those in the backbone's config.

    Call arguments:
        inputs: (N, H, W, in_channels) float, normalized. `fit`, `predict` and `evaluate` take
            what the preprocessor takes.

    Returns:
        (N, H, W, num_classes) logits.
    """

    backbone_cls = MetaFormerBackbone
    preprocessor_cls = MetaFormerImageSegmenterPreprocessor

    def __init__(
        self,
        backbone: MetaFormerBackbone,
        num_classes: int | None = None,
        preprocessor: Any = None,
        name: str | None = None,
        compile: bool = True,
        **head_fields: Any,
    ) -> None:
        if backbone.config.feature_norms is not True:
            raise InputError(
                "`backbone` must be made with feature_norms=True. Received: "
                f"feature_norms={backbone.config.feature_norms}"
            )
        config = tasks.config_with_head(
            PoolFormerSegmenter, backbone.config, num_classes, head_fields
        )

        # === Functional model ===
        policy = backbone.dtype_policy
        precise = full_precision(policy)
        maps = semantic_fpn.neck(config, list(backbone.pyramid_outputs.values()), policy)
        logits = semantic_fpn.last_layer(config, precise)(semantic_fpn.head(config, maps, policy))
        resize = UpsampleLike("bilinear", name="logits_resize", dtype=precise)
        self.backbone = backbone
        self.preprocessor = preprocessor
        super().__init__(
            inputs=backbone.input,
            outputs=resize([logits, backbone.input]),
            name=name,
            compile=compile,
        )

        # === Config ===
        self.config = config
        self.num_classes = config.num_classes

    def compile(
        self, optimizer: Any = "auto", loss: Any = "auto", *, metrics: Any = "auto", **kwargs: Any
    ) -> None:
        """Configures training, for masks (N, H, W) of class numbers, 255 for none.

        Args:
            optimizer: As in KerasHub; "auto" is Adam at 5e-5.
            loss: As in Keras; "auto" is the cross entropy of the class of each pixel.
            metrics: As in Keras; "auto" is the mean IoU.
            **kwargs: Further arguments of `keras.Model.compile`.
        """
        if loss == "auto":
            loss = PixelCrossEntropy()
        if metrics == "auto":
            metrics = [PixelMeanIoU(self.output_shape[-1])]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-ready values."""
        return tasks.task_config(self)

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike[str], load_weights: bool = True, **options: Any
    ) -> Self:
        """Loads the segmenter of a preset of KerasHub, or of any source of this package.

        Args:
            preset: What `keras_hub.models.ImageSegmenter.from_preset` accepts and holds a
                `MetaFormerBackbone`; or what `keras_poolformer.PoolFormerSegmenter`'s accepts: a
                name of `list_presets()`, a checkpoint file, a folder,
                "hf://OWNER/NAME[@REVISION]".
            load_weights: Whether weights are loaded. False builds the architecture only.
            **options: Arguments of the constructor, such as `num_classes` and `preprocessor`;
                `image_shape` and `dtype` of the backbone; fields of `MetaFormerConfig`.
        """
        if loading.is_kerashub_preset(preset, MetaFormerBackbone, options):
            return super().from_preset(os.fspath(preset), load_weights=load_weights, **options)
        return tasks.task_of_source(cls, PoolFormerSegmenter, preset, load_weights, options)
