"""Training on one device, several, or a TPU pod: one loop on tf.distribute.

The loop is not Keras' `fit`: a run that is interrupted anywhere resumes to the same bytes, with the
same numbers on one device, on many and in parts of a batch, and `fit` keeps neither the position
in the data nor the seeds of its layers in a form that allows it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_poolformer.support.lazy import lazy_names
from keras_poolformer.training.ade20k import ADE20K
from keras_poolformer.training.imagenet import FINE_TUNED, TRAINED

if TYPE_CHECKING:
    from keras_poolformer.training.optimizer import AdamW, Lamb, WarmupCosine, WarmupPoly
    from keras_poolformer.training.recipes import get_recipe
    from keras_poolformer.training.run import Run
    from keras_poolformer.training.strategy import create_strategy, one_device
    from keras_poolformer.training.trainer import Trainer

STRATEGIES = ("one_device", "mirrored", "multiworker", "tpu")
"""What `create_strategy` and `--strategy` accept."""
# Here and not in `recipes`, so that --help lists them without importing TensorFlow.
RECIPE_SUMMARIES = {
    **{
        name: f"ImageNet-1k at {row.release.size} pixels, batch 4096, 300 epochs; "
        f"{row.release.top1} % top-1"
        for name, row in TRAINED.items()
    },
    **{
        name: f"fine-tuning at {row.release.size} pixels, batch 1024, 30 epochs; "
        f"{row.release.top1} % top-1"
        for name, row in FINE_TUNED.items()
    },
    **{
        name: f"segmenter on ADE20K at 512 pixels, batch 32, 64 epochs; {release.miou} % mIoU"
        for name, release in ADE20K.items()
    },
    "finetune": "trained weights (--init) on classes of your own, 20 epochs",
    "finetune_segmentation": "a segmenter on images and masks of your own, 50 epochs",
    "convformer_tiny_cifar10": "the demo's network on CIFAR-10, two hours on a CPU",
    "poolformer_tiny_cifar10": "a PoolFormer on CIFAR-10, which learns faster",
    "poolformer_tiny_nuclei": "the demo's segmenter on nuclei of cells, an hour on a CPU",
}
"""What each recipe of `get_recipe` is for, by its name."""

__all__ = [
    "RECIPE_SUMMARIES",
    "STRATEGIES",
    "AdamW",
    "Lamb",
    "Run",
    "Trainer",
    "WarmupCosine",
    "WarmupPoly",
    "create_strategy",
    "get_recipe",
    "one_device",
]

__getattr__: Callable[[str], Any]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AdamW": "optimizer",
        "Lamb": "optimizer",
        "Run": "run",
        "Trainer": "trainer",
        "WarmupCosine": "optimizer",
        "WarmupPoly": "optimizer",
        "create_strategy": "strategy",
        "get_recipe": "recipes",
        "one_device": "strategy",
    },
)
