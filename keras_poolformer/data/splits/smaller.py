"""Makes images and masks smaller before they are written as records.

Training decodes every image once an epoch, and most of an original's pixels do not survive the
crop's resize: smaller files are read and decoded faster.
"""

import functools
import io
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_poolformer.data.splits.resized import Resized
from keras_poolformer.data.targets import Example, MaskTarget
from keras_poolformer.images.files import EncodedImage, load_image, load_label_map
from keras_poolformer.support.errors import ImageError


def smaller_example(resized: Resized, example: Example) -> Example:
    """Makes image and mask of an example smaller; for `Dataset.map`.

    Args:
        resized: How they are made smaller.
        example: As `Split.load` returns it.
    """
    changed = {"image": _on_host(smaller_image, resized, example["image"])}
    if MaskTarget.name in example:
        changed[MaskTarget.name] = _on_host(smaller_mask, resized, example[MaskTarget.name])
    return example | changed


def smaller_image(resized: Resized, content: bytes) -> bytes:
    """Returns a JPEG of an image, upright, or the same bytes where it is small enough.

    Args:
        resized: How it is made smaller.
        content: Content of an image file.

    Raises:
        ImageError: It is not an image.
    """
    image = load_image(EncodedImage(content, "image file"))
    size = resized.size_of(*image.size)
    if size == image.size:
        return content
    written = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(written, "JPEG", quality=resized.quality)
    return written.getvalue()


def smaller_mask(resized: Resized, content: bytes) -> bytes:
    """Returns a PNG of a mask, resized to the nearest pixel, or the same bytes.

    Args:
        resized: How it is made smaller.
        content: Content of a mask's file, of the size of its image.
    """
    try:
        labels = load_label_map(EncodedImage(content, "the mask"))
    except ImageError:
        return content  # which the check of the example reports
    height, width = labels.shape
    size = resized.size_of(width, height)
    if size == (width, height):
        return content
    stored = labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
    written = io.BytesIO()
    Image.fromarray(stored).resize(size, Image.Resampling.NEAREST).save(written, "PNG")
    return written.getvalue()


def _on_host(
    function: Callable[[Resized, bytes], bytes], resized: Resized, content: tf.Tensor
) -> tf.Tensor:
    call = functools.partial(function, resized)
    return tf.ensure_shape(tf.numpy_function(call, [content], tf.string, stateful=False), ())
