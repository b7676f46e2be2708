"""Segmenters with random weights and statistics: what tests of their exports share."""

import numpy as np

from keras_poolformer import ImageTransform, PoolFormerSegmenter
from tests.helpers import randomized_model
from tests.segmenters import CONFIG

TRANSFORM = ImageTransform(
    size=(64, 96), crop_pct=None, interpolation="bilinear", crop_mode="mmseg", do_center_crop=False
)


def randomized(config=CONFIG, model_class=PoolFormerSegmenter, **options):
    """A segmenter whose weights and batch norms' statistics are all random.

    Args:
        config: Architecture.
        model_class: Class of the model.
        **options: Arguments of the class.
    """
    model = randomized_model(config, model_class, **options)
    random = np.random.default_rng(5)
    for variable in model.weights:
        if variable.path.endswith("moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model
