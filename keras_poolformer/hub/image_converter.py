"""The preprocessing of a MetaFormer as KerasHub's image converter."""

import os
from collections.abc import Mapping
from typing import Any, Self

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_poolformer.hub import loading
from keras_poolformer.hub.backbone import MetaFormerBackbone, transform_of
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.models.overrides import with_size
from keras_poolformer.sources.kerashub import PACKAGE
from keras_poolformer.support.errors import InputError


@keras.saving.register_keras_serializable(package=PACKAGE)
class MetaFormerImageConverter(keras_hub.layers.ImageConverter):
    """An `ImageTransform` as KerasHub's image converter: the same pixels, to the last bit.

    It resizes as Pillow does, which none of KerasHub's own options give. In a `tf.data` pipeline,
    which `fit` and `predict` of a task make, it runs in TensorFlow; called directly, in Pillow.

    Args:
        transform: An `ImageTransform`, or a mapping of its options; by default ImageNet's.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Images (H, W, 3) or (N, H, W, 3), RGB, uint8 or floats from 0 to 255; or a list of
            images of several sizes, if the transform crops them to one.

    Returns:
        float32 (H', W', 3) or (N, H', W', 3), normalized.
    """

    backbone_cls = MetaFormerBackbone

    def __init__(
        self, transform: ImageTransform | Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        transform = transform_of(transform) or ImageTransform()
        super().__init__(crop_to_aspect_ratio=transform.do_center_crop, **kwargs)
        self.transform = transform

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) of the result, or None where it depends on the image; it can be set."""
        return self.transform.output_shape

    @image_size.setter
    def image_size(self, value: tuple[int, int]) -> None:
        self.transform = with_size(self.transform, value)

    def call(self, inputs: Any) -> Any:
        """Prepares images; see the class."""
        if isinstance(inputs, dict):
            raise InputError(
                "this image converter takes no bounding boxes: keras_hub.layers."
                f"RetinaNetImageConverter does. Received: a dict of {', '.join(inputs)}"
            )
        if self._use_tf_workflow():
            return self.transform.tf(inputs)
        return ops.convert_to_tensor(self.transform(_images(inputs)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-ready values."""
        config = keras.layers.Layer.get_config(self)
        return config | {"transform": self.transform.to_dict()}

    @classmethod
    def from_preset(cls, preset: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Loads the preprocessing of a preset of KerasHub, or of any source of this package.

        Args:
            preset: What `MetaFormerBackbone.from_preset` accepts.
            **kwargs: Arguments of the constructor.
        """
        if loading.is_kerashub_preset(preset, MetaFormerBackbone, kwargs):
            return super().from_preset(os.fspath(preset), **kwargs)
        return cls(**{"transform": ImageTransform.from_preset(preset), **kwargs})


def _images(inputs: Any) -> Any:
    """One image, or a list of images, as uint8 arrays."""
    if isinstance(inputs, list | tuple):
        return [_rounded(image) for image in inputs]
    array = _rounded(inputs)
    return list(array) if array.ndim == 4 else array


def _rounded(image: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(image) if keras.ops.is_tensor(image) else image)
    if array.dtype == np.uint8:
        return array
    return np.clip(np.round(array), 0, 255).astype(np.uint8)
