"""Training on one device, several, or a TPU pod: one loop on tf.distribute."""

from typing import TYPE_CHECKING

from keras_poolformer.support.lazy import lazy_names

if TYPE_CHECKING:
    from keras_poolformer.training.optimizer import AdamW, WarmupCosine
    from keras_poolformer.training.recipes import get_recipe
    from keras_poolformer.training.run import Run
    from keras_poolformer.training.strategy import create_strategy, one_device
    from keras_poolformer.training.trainer import Trainer

STRATEGIES = ("one_device", "mirrored", "multiworker", "tpu")
__all__ = [
    "STRATEGIES",
    "AdamW",
    "Run",
    "Trainer",
    "WarmupCosine",
    "create_strategy",
    "get_recipe",
    "one_device",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AdamW": "optimizer",
        "Run": "run",
        "Trainer": "trainer",
        "WarmupCosine": "optimizer",
        "create_strategy": "strategy",
        "get_recipe": "recipes",
        "one_device": "strategy",
    },
)
