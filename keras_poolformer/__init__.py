"""PoolFormer and its family for Keras 3: PyTorch checkpoints in; Keras, SavedModel, LiteRT out.

`__all__` is the public API, here and in `keras_poolformer.data`, `.runtime`, `.runtime.benchmark`
and `.training`; everything else may change in any release. Importing this package imports neither
Keras nor TensorFlow: a name does so when it is first used, if it needs them. Where Keras is
imported too, it knows the models' classes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_poolformer.models.registration import register_with_keras
from keras_poolformer.support.lazy import lazy_names
from keras_poolformer.support.version import __version__

if TYPE_CHECKING:
    from keras_poolformer.checkpoints.saving import save_torch_weights
    from keras_poolformer.checkpoints.transplant import load_torch_weights
    from keras_poolformer.config import MetaFormerConfig, PoolFormerConfig
    from keras_poolformer.data.splits.preparing import prepare
    from keras_poolformer.evaluation.evaluating import evaluate
    from keras_poolformer.export.saved_model import export_saved_model
    from keras_poolformer.export.tflite import export_tflite
    from keras_poolformer.images.transform import ImageTransform
    from keras_poolformer.inspection.grad_cam import grad_cam, overlay
    from keras_poolformer.inspection.stats import model_stats
    from keras_poolformer.models.backbone import MetaFormerBackbone, PoolFormerBackbone
    from keras_poolformer.models.classifier import (
        MetaFormerImageClassifier,
        PoolFormerImageClassifier,
    )
    from keras_poolformer.models.segmenter import MetaFormerSegmenter, PoolFormerSegmenter
    from keras_poolformer.publishing.making import make_card
    from keras_poolformer.scores import softmax, top_classes
    from keras_poolformer.shipped import sample_micrograph, sample_photographs
    from keras_poolformer.sources.presets import list_presets
    from keras_poolformer.support.errors import InputError
    from keras_poolformer.support.quiet import native_log_hidden
    from keras_poolformer.training.running import train

__all__ = [
    "ImageTransform",
    "InputError",
    "MetaFormerBackbone",
    "MetaFormerConfig",
    "MetaFormerImageClassifier",
    "MetaFormerSegmenter",
    "PoolFormerBackbone",
    "PoolFormerConfig",
    "PoolFormerImageClassifier",
    "PoolFormerSegmenter",
    "__version__",
    "evaluate",
    "export_saved_model",
    "export_tflite",
    "grad_cam",
    "list_presets",
    "load_torch_weights",
    "make_card",
    "model_stats",
    "native_log_hidden",
    "overlay",
    "prepare",
    "sample_micrograph",
    "sample_photographs",
    "save_torch_weights",
    "softmax",
    "top_classes",
    "train",
]

__getattr__: Callable[[str], Any]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ImageTransform": "images.transform",
        "InputError": "support.errors",
        "MetaFormerBackbone": "models.backbone",
        "MetaFormerConfig": "config",
        "MetaFormerImageClassifier": "models.classifier",
        "MetaFormerSegmenter": "models.segmenter",
        "PoolFormerBackbone": "models.backbone",
        "PoolFormerConfig": "config",
        "PoolFormerImageClassifier": "models.classifier",
        "PoolFormerSegmenter": "models.segmenter",
        "evaluate": "evaluation.evaluating",
        "export_saved_model": "export.saved_model",
        "export_tflite": "export.tflite",
        "grad_cam": "inspection.grad_cam",
        "list_presets": "sources.presets",
        "load_torch_weights": "checkpoints.transplant",
        "make_card": "publishing.making",
        "model_stats": "inspection.stats",
        "native_log_hidden": "support.quiet",
        "overlay": "inspection.grad_cam",
        "prepare": "data.splits.preparing",
        "sample_micrograph": "shipped",
        "sample_photographs": "shipped",
        "save_torch_weights": "checkpoints.saving",
        "softmax": "scores",
        "top_classes": "scores",
        "train": "training.running",
    },
)
register_with_keras()
