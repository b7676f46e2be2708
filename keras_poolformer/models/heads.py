"""The two heads of classifiers, as layers."""

from typing import Any

import keras
from keras import initializers, layers

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.models.layers import CHANNELS_LAST, Dense, make_norm
from keras_poolformer.models.random_layers import Dropout

LAYER_NORM_EPSILON = 1e-6  # timm's, in the pool_norm head


def pool_and_norm(config: MetaFormerConfig, dtype: Any) -> list[keras.Layer]:
    """Returns the two layers between feature map and linear layer, in the order of the head.

    Args:
        config: Architecture of the classifier.
        dtype: Dtype policy of the head.
    """
    pool = layers.GlobalAveragePooling2D(CHANNELS_LAST, name="head_pool", dtype=dtype)
    if config.head == "norm_pool":
        norm = make_norm(config.norm, "head_norm", dtype, config.norm_epsilon)
        return [norm, pool]
    norm = layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name="head_norm", dtype=dtype)
    return [pool, norm]


def head_layers(config: MetaFormerConfig, dtype: Any) -> list[keras.Layer]:
    """Returns the layers from the embedding to the logits, the last one `head`; [] without classes.

    The MLP is sail-sg's MlpHead: a hidden layer, squared ReLU, a norm, dropout, the last layer.

    Args:
        config: Architecture of the classifier.
        dtype: Dtype policy of the head.
    """
    if not config.num_classes:
        return []
    normal = initializers.RandomNormal(stddev=config.initializer_range)
    head: list[keras.Layer] = []
    if config.head_mlp_ratio:
        head += [
            layers.Dense(
                config.head_width, kernel_initializer=normal, name="head_fc1", dtype=dtype
            ),
            layers.Activation(ACTIVATION_FUNCTIONS["relu2"], name="head_act", dtype=dtype),
            layers.LayerNormalization(
                epsilon=config.head_norm_epsilon, name="head_mlp_norm", dtype=dtype
            ),
        ]
    if config.head_dropout_rate:
        head.append(Dropout(config.head_dropout_rate, name="head_dropout", dtype=dtype))
    last = Dense(config.num_classes, kernel_initializer=normal, name="head", dtype=dtype)
    return [*head, last]
