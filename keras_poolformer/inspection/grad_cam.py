"""Where a classifier looks: Grad-CAM (arXiv 1610.02391).

As in misc/cam_image.py of the PoolFormer authors, which uses the package grad-cam: the map comes
from the un-normed output of a stage, without smoothing. Theirs is the last stage, which has 7 x 7
positions at 224 pixels; where the last one has fewer, an earlier one is the default.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import PIL.Image as Image
import tensorflow as tf

from keras_poolformer.images.files import load_image
from keras_poolformer.models.classifier import MetaFormerBackbone, MetaFormerImageClassifier
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown

# Of an overlay, from 0 to 1 in the map: pale yellow, orange, red.
COLORS = ((255, 245, 160), (255, 225, 90), (255, 170, 30), (235, 80, 20), (200, 0, 30))
MAX_OPACITY = 0.7
MIN_SIDE = 7  # positions on the shorter side of the map of the default layer


def grad_cam(
    model: MetaFormerImageClassifier,
    images: np.ndarray,
    class_index: int | Sequence[int] | np.ndarray | None = None,
    layer: str | None = None,
) -> np.ndarray:
    """Maps how much each position of a feature map contributes to a class.

    The feature map's channels are weighted by the mean gradient of the class's logit, summed,
    and clipped at 0; the map of each image is then scaled to 0 .. 1.

    Args:
        model: Classifier under Keras' TensorFlow backend.
        images: Normalized images, float (N, H, W, in_channels), as `ImageTransform` returns them.
        class_index: Index of the class, or one for each image; by default the top class.
        layer: Name of the feature map: "P2" to "P5", or a layer of `model.backbone`; by default
            that of `default_layer`.

    Returns:
        Maps, float32 (N, h, w) at the layer's resolution, from 0 to 1; all 0 where nothing
        speaks for the class.

    Raises:
        InputError: The model has no classes, there is no such layer or class, or the images have
            the wrong shape.
    """
    inputs = _checked(model, images)
    layer = _checked_layer(model, inputs, layer)
    backbone = model.backbone
    network = keras.Model(backbone.input, [_feature_maps(backbone)[layer], backbone.output])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        features, last_features = network(inputs, training=False)
        logits = model.classify_features(last_features)
        classes = _checked_classes(class_index, logits)
        scores = tf.gather(logits, classes, axis=1, batch_dims=1)
    gradients = tf.cast(tape.gradient(scores, features), "float32")
    weights = tf.reduce_mean(gradients, (1, 2), keepdims=True)  # (N, 1, 1, C)
    maps = tf.reduce_sum(weights * tf.cast(features, "float32"), -1)
    return _scaled(np.maximum(maps.numpy(), 0))


def default_layer(model: MetaFormerImageClassifier, height: int, width: int) -> str:
    """Returns the last stage whose map has at least 7 positions a side, or the first stage.

    Args:
        model: Classifier to explain.
        height: Height of its images in pixels.
        width: Width of its images in pixels.
    """
    config = model.config
    side = min(height, width)
    chosen = config.levels[0]
    stages = zip(config.levels, config.patch_sizes, config.strides, config.paddings, strict=True)
    for level, patch_size, stride, padding in stages:
        side = (side + 2 * padding - patch_size) // stride + 1
        chosen = level if side >= MIN_SIDE else chosen
    return chosen


def overlay(image: Any, cam: np.ndarray) -> Image.Image:
    """Paints a map over its image in gray: nothing where the map is 0, red where it is 1.

    Args:
        image: Image that the model saw, or the same crop at another resolution: path, PIL image
            or uint8 array.
        cam: Map of `grad_cam`, (h, w).

    Returns:
        PIL image in mode RGB, of the image's size.

    Raises:
        InputError: The image cannot be read, or `cam` is not a single map.
    """
    image = load_image(image)
    cam = resize_cam(cam, image.size)[..., None]
    gray = np.asarray(image.convert("L"), np.float32)[..., None]
    levels = np.linspace(0, 1, len(COLORS))
    channels = [np.interp(cam, levels, channel) for channel in np.transpose(COLORS)]
    opacity = MAX_OPACITY * cam
    mixed = (1 - opacity) * gray + opacity * np.concatenate(channels, -1)
    return Image.fromarray(np.uint8(np.round(mixed)))


def resize_cam(cam: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarges a map bilinearly, and scales it to 0 .. 1 again.

    Args:
        cam: Map of `grad_cam`, (h, w).
        size: Size of the result in pixels, (width, height).

    Returns:
        Map, float32 (height, width).

    Raises:
        InputError: `cam` is not a single map.
    """
    cam = np.asarray(cam, np.float32)
    if cam.ndim != 2:
        raise InputError(f"`cam` must be one map, (h, w). Received: shape {cam.shape}")
    enlarged = Image.fromarray(cam).resize(size, Image.Resampling.BILINEAR)
    return _scaled(np.array(enlarged)[None])[0]


def _scaled(maps: np.ndarray) -> np.ndarray:
    """Each of (N, h, w) from 0 to 1; a constant map becomes 0."""
    maps = maps - maps.min((1, 2), keepdims=True)
    highest = maps.max((1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def _feature_maps(backbone: MetaFormerBackbone) -> dict[str, keras.KerasTensor]:
    """{name: symbolic feature map} of the stages, then of the layers."""
    layers = [layer for layer in backbone.layers if not isinstance(layer, keras.layers.InputLayer)]
    return dict(backbone.pyramid_outputs) | {layer.name: layer.output for layer in layers}


def _checked(model: MetaFormerImageClassifier, images: np.ndarray) -> tf.Tensor:
    config = model.config
    if not getattr(config, "num_classes", 0) or not hasattr(model, "classify_features"):
        raise InputError("`model` must be a classifier. Received: a network without classes")
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Grad-CAM needs Keras' TensorFlow backend. Received: {keras.backend.backend()}"
        )
    shape = np.shape(images)
    if len(shape) != 4 or shape[-1] != config.in_channels or 0 in shape:
        raise InputError(
            f"`images` must have the shape (N, H, W, {config.in_channels}). Received: {shape}"
        )
    return tf.cast(images, model.compute_dtype)


def _checked_layer(model: MetaFormerImageClassifier, images: tf.Tensor, layer: str | None) -> str:
    names = list(_feature_maps(model.backbone))
    if layer is None:
        return default_layer(model, *images.shape[1:3])
    if layer not in names:
        stages = ", ".join(model.backbone.pyramid_outputs)
        raise InputError(
            f"`layer` must be one of {stages}, or a layer of the backbone such as {names[-1]}."
            f"{did_you_mean(layer, names)} Received: {shown(layer)}"
        )
    return layer


def _checked_classes(
    class_index: int | Sequence[int] | np.ndarray | None, logits: tf.Tensor
) -> np.ndarray:
    """The class of each image, (N,)."""
    count, num_classes = (int(side) for side in logits.shape)
    if class_index is None:
        return np.argmax(logits, -1)
    classes = np.asarray(class_index)
    fits = classes.dtype.kind in "iu" and classes.shape in ((), (1,), (count,))
    if not fits or ((classes < 0) | (classes >= num_classes)).any():
        raise InputError(
            f"`class_index` must be a whole number from 0 to {num_classes - 1}, or {count} of "
            f"them. Received: {shown(class_index)}"
        )
    return np.broadcast_to(classes, count)
