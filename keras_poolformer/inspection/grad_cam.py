"""Where a classifier looks: Grad-CAM (arXiv 1610.02391).

As misc/cam_image.py of the PoolFormer authors has it, by the package grad-cam: the map comes
from the un-normed output of a stage, without smoothing. Theirs is the last stage, which has 7 x 7
places at 224 pixels; where the last one has fewer, an earlier one is the default.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_poolformer.images.files import load_image
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown

# Of an overlay, from where the map is 0 to where it is 1: pale yellow, orange, red.
COLOURS = ((255, 245, 160), (255, 225, 90), (255, 170, 30), (235, 80, 20), (200, 0, 30))
MAX_OPACITY = 0.7
MIN_PLACES = 7  # of the shorter side of a map, by default


def grad_cam(model, images, class_index=None, layer=None):
    """Maps how much each place of a feature map speaks for a class.

    The feature map's channels are weighted by the mean gradient of the class' logit, summed,
    and cut at 0; the rest is stretched to 0 .. 1 for each image by itself.

    Args:
        model: a `PoolFormerImageClassifier` under Keras' TensorFlow backend.
        images: float (N, H, W, in_channels), normalised, as `ImageTransform` makes them.
        class_index: a class by number, or one for each image; by default the likeliest one.
        layer: "P2" to "P5", or the name of a layer of `model.backbone`; by default that of
            `default_layer`.

    Returns:
        float32 (N, h, w) at the layer's own resolution, from 0 to 1; all 0 where nothing
        speaks for the class.

    Raises:
        InputError: the model has no classes, there is no such layer or class, or the images
            do not fit.
    """
    images, layer = _checked(model, images), _checked_layer(model, images, layer)
    backbone = model.backbone
    network = keras.Model(backbone.input, [_feature_maps(backbone)[layer], backbone.output])
    with tf.GradientTape() as tape:
        tape.watch(images)
        features, last_features = network(images, training=False)
        logits = model.classify_features(last_features)
        classes = _checked_classes(class_index, logits)
        scores = tf.gather(logits, classes, axis=1, batch_dims=1)
    gradients = tf.cast(tape.gradient(scores, features), "float32")
    weights = tf.reduce_mean(gradients, (1, 2), keepdims=True)  # (N, 1, 1, C)
    maps = tf.reduce_sum(weights * tf.cast(features, "float32"), -1)
    return _stretched(np.maximum(maps.numpy(), 0))


def default_layer(model: Any, height: int, width: int) -> str:
    """Returns the last stage whose map has at least 7 places a side, or the first one.

    Args:
        model: A `PoolFormerImageClassifier`.
        height: Of its images, in pixels.
        width: Of its images, in pixels.
    """
    config, side = model.config, min(height, width)
    chosen = config.levels[0]
    stages = zip(config.levels, config.patch_sizes, config.strides, config.paddings, strict=True)
    for level, patch_size, stride, padding in stages:
        side = (side + 2 * padding - patch_size) // stride + 1
        chosen = level if side >= MIN_PLACES else chosen
    return chosen


def overlay(image, cam):
    """Paints a map over its image, which turns grey: nothing where it is 0, red where it is 1.

    Args:
        image: what the model saw, or the same section at another resolution: path, PIL image
            or uint8 array.
        cam: (h, w), a map of `grad_cam`.

    Returns:
        PIL image in mode RGB, of the image's size.

    Raises:
        InputError: the image cannot be read, or `cam` is no single map.
    """
    image = load_image(image)
    cam = resize_cam(cam, image.size)[..., None]
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    levels = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(cam, levels, channel) for channel in np.transpose(COLOURS)]
    opacity = MAX_OPACITY * cam
    mixed = (1 - opacity) * grey + opacity * np.concatenate(channels, -1)
    return Image.fromarray(np.uint8(np.round(mixed)))


def resize_cam(cam, size):
    """Enlarges a map bilinearly, and stretches it to 0 .. 1 again.

    Args:
        cam: (h, w).
        size: (width, height) in pixels.

    Returns:
        float32 (height, width).

    Raises:
        InputError: `cam` is no single map.
    """
    cam = np.asarray(cam, np.float32)
    if cam.ndim != 2:
        raise InputError(f"`cam` must be one map, (h, w). Received: shape {cam.shape}")
    enlarged = Image.fromarray(cam).resize(size, Image.Resampling.BILINEAR)
    return _stretched(np.array(enlarged)[None])[0]


def _stretched(maps):
    """Each of (N, h, w) from 0 to 1; a map of one value becomes 0."""
    maps = maps - maps.min((1, 2), keepdims=True)
    highest = maps.max((1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def _feature_maps(backbone):
    """{name: symbolic feature map} of the stages, then of the layers."""
    layers = [one for one in backbone.layers if not isinstance(one, keras.layers.InputLayer)]
    return dict(backbone.pyramid_outputs) | {layer.name: layer.output for layer in layers}


def _checked(model, images):
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


def _checked_layer(model, images, layer):
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


def _checked_classes(class_index, logits):
    """The class of each image, (N,)."""
    count, num_classes = logits.shape
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
