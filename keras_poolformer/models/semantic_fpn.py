"""Semantic FPN (arXiv 1901.02446, section 3): the neck and head that make a segmenter.

As mmsegmentation has them in `FPN` and `FPNHead`. Feature maps are (N, H, W, C), from stride 4 on,
each half as high and wide as the one before it.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import initializers, layers

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.layers import CHANNELS_LAST
from keras_poolformer.models.random_layers import ChannelDropout
from keras_poolformer.models.resizing import BilinearDoubling, UpsampleLike

BATCH_NORM_EPSILON = 1e-5  # PyTorch's; Keras' own is 1e-3
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's 0.1, counted from the other side
LAST_STDDEV = 0.01  # of the initial weights of the last layer


def neck(config: MetaFormerConfig, features: Sequence[Any], dtype: Any) -> list[Any]:
    """Returns the symbolic outputs of the feature pyramid network (arXiv 1612.03144).

    Each map gets a 1x1 convolution, then the sum of all coarser ones, then a 3x3 convolution.

    Args:
        config: Architecture of the segmenter.
        features: Normed outputs of the stages, (N, H/4, W/4, widths[0]), ...
        dtype: Dtype policy.

    Returns:
        As many maps of the same heights and widths, with `neck_width` channels.
    """
    options = {"padding": "same", "data_format": CHANNELS_LAST, "dtype": dtype}
    width = config.neck_width
    sums = [
        layers.Conv2D(width, 1, name=f"neck_lateral_{stage}", **options)(x)
        for stage, x in enumerate(features)
    ]
    for stage in reversed(range(len(sums) - 1)):
        upsample = UpsampleLike("nearest", name=f"neck_upsample_{stage}", dtype=dtype)
        coarser = upsample([sums[stage + 1], sums[stage]])
        add = layers.Add(name=f"neck_sum_{stage}", dtype=dtype)
        sums[stage] = add([sums[stage], coarser])
    return [
        layers.Conv2D(width, 3, name=f"neck_output_{stage}", **options)(x)
        for stage, x in enumerate(sums)
    ]


def head(config: MetaFormerConfig, features: Sequence[Any], dtype: Any) -> Any:
    """Returns the sum of all maps at the finest one's size, (N, H/4, W/4, segmentation_width).

    A map of level i is convolved and doubled i times; the finest one is convolved once.

    Args:
        config: Architecture of the segmenter.
        features: Outputs of the neck, (N, H/4, W/4, neck_width), ...
        dtype: Dtype policy.
    """
    scales = [_scale(config, x, level, dtype) for level, x in enumerate(features)]
    finest = scales[0]
    for level in range(1, len(scales)):  # sides that are not multiples of 32 differ
        resize = UpsampleLike("bilinear", name=f"head_scales_{level}_resize", dtype=dtype)
        scales[level] = resize([scales[level], finest])
    x = layers.Add(name="head_sum", dtype=dtype)(scales) if len(scales) > 1 else finest
    if config.head_dropout_rate:
        dropout = ChannelDropout(
            config.head_dropout_rate, data_format=CHANNELS_LAST, name="head_dropout", dtype=dtype
        )
        x = dropout(x)
    return x


def last_layer(config: MetaFormerConfig, dtype: Any) -> keras.Layer:
    """Returns the 1x1 convolution that gives the logits.

    Args:
        config: Architecture of the segmenter.
        dtype: Dtype policy.
    """
    return layers.Conv2D(
        config.num_classes,
        1,
        data_format=CHANNELS_LAST,
        kernel_initializer=initializers.RandomNormal(stddev=LAST_STDDEV),
        name="head",
        dtype=dtype,
    )


def _scale(config: MetaFormerConfig, x: Any, level: int, dtype: Any) -> Any:
    """A level's map, with the channels of the head, and at (nearly) the finest one's size."""
    for step in range(max(1, level)):
        convolution = layers.Conv2D(
            config.segmentation_width,
            3,
            padding="same",
            data_format=CHANNELS_LAST,
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(2, "fan_out", "untruncated_normal"),
            name=f"head_scales_{level}_conv_{step}",
            dtype=dtype,
        )
        norm = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=BATCH_NORM_EPSILON,
            name=f"head_scales_{level}_norm_{step}",
            dtype=dtype,
        )
        x = layers.ReLU(name=f"head_scales_{level}_act_{step}", dtype=dtype)(norm(convolution(x)))
        if level:
            name = f"head_scales_{level}_upsample_{step}"
            x = BilinearDoubling(name=name, dtype=dtype)(x)
    return x
