"""MetaFormers as KerasHub's classes: backbone, classifier, segmenter and their preprocessing.

Optional: nothing else in this package imports it. It needs KerasHub, which is best installed by
`pip install --no-deps keras-hub` (its dependencies bring TensorFlow Text and with it a second
TensorFlow), and `pip install 'keras-poolformer[hub]'` for what KerasHub imports. Importing it
registers the classes with Keras, so that KerasHub's own `from_preset` finds them.
"""

from keras_poolformer.hub.requirements import require_keras_hub

require_keras_hub()

from keras_poolformer.hub.backbone import MetaFormerBackbone  # noqa: E402 - needs KerasHub
from keras_poolformer.hub.classifier import (  # noqa: E402
    MetaFormerImageClassifier,
    MetaFormerImageClassifierPreprocessor,
)
from keras_poolformer.hub.image_converter import MetaFormerImageConverter  # noqa: E402
from keras_poolformer.hub.retinanet import set_prior_probability  # noqa: E402
from keras_poolformer.hub.segformer import SegFormerEncoder  # noqa: E402
from keras_poolformer.hub.segmenter import (  # noqa: E402
    MetaFormerImageSegmenter,
    MetaFormerImageSegmenterPreprocessor,
)

__all__ = [
    "MetaFormerBackbone",
    "MetaFormerImageClassifier",
    "MetaFormerImageClassifierPreprocessor",
    "MetaFormerImageConverter",
    "MetaFormerImageSegmenter",
    "MetaFormerImageSegmenterPreprocessor",
    "SegFormerEncoder",
    "set_prior_probability",
]
