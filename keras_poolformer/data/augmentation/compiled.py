"""Compiles operations on whole images with XLA, which makes one pass over the pixels of many.

XLA compiles for one shape: only graphs in which the shape is known are compiled. XLA also merges a
product and the sum that follows, which rounds once instead of twice; `kept_apart` prevents it where
pixels are to be Pillow's.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_IS_SUPPORTED = sys.platform != "win32"  # TensorFlow for Windows is built without XLA


def compiled(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Returns a function that is compiled where the shape of its first argument is known.

    Args:
        function: Function of tensors that returns one tensor.
    """
    compiled_function = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(first: tf.Tensor, *others: Any) -> tf.Tensor:
        if tf.executing_eagerly() or not first.shape.is_fully_defined() or not _IS_SUPPORTED:
            return function(first, *others)
        return compiled_function(first, *others)

    return call


def kept_apart(product: tf.Tensor) -> tf.Tensor:
    """Returns a product such that XLA does not merge it with the sum that follows."""
    return tf.maximum(product, -1e9)  # lower than any: no value changes
