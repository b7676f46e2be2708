"""Measures a model on images, whichever its task is."""

from collections.abc import Callable

from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.data.masked import MaskedImages
from keras_poolformer.evaluation.classification import BATCH_SIZE, measure_classifier
from keras_poolformer.evaluation.measurement import Measurement
from keras_poolformer.evaluation.opening import Network
from keras_poolformer.evaluation.scorer import Scorer
from keras_poolformer.evaluation.segmentation import measure_segmenter
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.support.errors import InputError


def measure(
    network: Network,
    images: LabeledImages | MaskedImages,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    skip_broken: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Measures a classifier on images with classes, or a segmenter on images with masks.

    Args:
        network: The model.
        images: Images to measure on.
        limit: Number of images at most, evenly spread; None for all.
        batch_size: Number of images at once; segmenters take one, as sizes differ.
        skip_broken: Whether images that cannot be read are skipped and counted.
        progress: Function to call with (images measured, of how many), or None.

    Raises:
        InputError: The images do not fit the model's task or classes, there are none, or one
            cannot be read.
    """
    match network, images:
        case Scorer(), LabeledImages():
            return measure_classifier(network, images, limit, batch_size, skip_broken, progress)
        case Segmenter(), MaskedImages():
            return measure_segmenter(network, images, limit, skip_broken, progress)
        case Segmenter(), _:
            raise InputError(
                f"{network.name} is a segmenter, which is measured on images with masks: a folder "
                "of images/ and masks/. Received: images with a class each"
            )
        case _:
            raise InputError(
                f"{network.name} is a classifier, which is measured on images with a class each: "
                "class folders. Received: images with masks"
            )
