"""PoolFormer for Keras 3: PyTorch checkpoints in; Keras, SavedModel and LiteRT out.

Importing this package imports neither Keras nor TensorFlow: each name below does so when it
is first used, if it needs them. Wherever Keras is imported too, it knows the models' classes.
"""

import importlib
from typing import TYPE_CHECKING

from keras_poolformer.models.registration import register_with_keras
from keras_poolformer.support.errors import missing_extra_named
from keras_poolformer.support.version import __version__ as __version__

if TYPE_CHECKING:
    from keras_poolformer.checkpoints.saving import save_torch_weights as save_torch_weights
    from keras_poolformer.checkpoints.transplant import (
        load_torch_weights as load_torch_weights,
    )
    from keras_poolformer.config import PoolFormerConfig as PoolFormerConfig
    from keras_poolformer.export.saved_model import export_saved_model as export_saved_model
    from keras_poolformer.export.tflite import export_tflite as export_tflite
    from keras_poolformer.images.transform import ImageTransform as ImageTransform
    from keras_poolformer.inspection.stats import model_stats as model_stats
    from keras_poolformer.models.backbone import PoolFormerBackbone as PoolFormerBackbone
    from keras_poolformer.models.classifier import (
        PoolFormerImageClassifier as PoolFormerImageClassifier,
    )
    from keras_poolformer.sources.presets import list_presets as list_presets

_MODULES = {
    "ImageTransform": "images.transform",
    "PoolFormerBackbone": "models.backbone",
    "PoolFormerConfig": "config",
    "PoolFormerImageClassifier": "models.classifier",
    "export_saved_model": "export.saved_model",
    "export_tflite": "export.tflite",
    "list_presets": "sources.presets",
    "load_torch_weights": "checkpoints.transplant",
    "model_stats": "inspection.stats",
    "save_torch_weights": "checkpoints.saving",
}
__all__ = ["__version__", *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with missing_extra_named():
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = getattr(module, name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__():
    return sorted([*globals(), *_MODULES])


register_with_keras()
