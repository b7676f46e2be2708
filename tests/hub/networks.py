"""One small network of each task of KerasHub, on a backbone of this package."""

import keras
import keras_hub
import numpy as np

from keras_poolformer import PoolFormerConfig, hub
from tests.helpers import randomized_model

SIZE = 64
SHAPE = (SIZE, SIZE, 3)
CLASSES = 3
CONFIG = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 12, 16, 24), num_classes=CLASSES)


def image_classifier():
    return hub.MetaFormerImageClassifier(hub.MetaFormerBackbone(CONFIG))


def image_segmenter():
    config = CONFIG.replace(feature_norms=True, neck_width=8, segmentation_width=8)
    backbone = hub.MetaFormerBackbone(config, image_shape=SHAPE)
    return hub.MetaFormerImageSegmenter(backbone, num_classes=CLASSES)


def retinanet(encoder=None, image_shape=SHAPE):
    backbone = keras_hub.models.RetinaNetBackbone(
        image_encoder=encoder or hub.MetaFormerBackbone(CONFIG, feature_norms=("P3", "P4", "P5")),
        min_level=3,
        max_level=5,
        use_p5=True,
        image_shape=image_shape,
    )
    return keras_hub.models.RetinaNetObjectDetector(
        backbone, num_classes=CLASSES, bounding_box_format="xyxy", pre_logits_num_conv_layers=1
    )


def deeplab():
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=hub.MetaFormerBackbone(CONFIG, feature_norms=("P2", "P5")),
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[1, 2],
        projection_filters=8,
        image_shape=SHAPE,
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=CLASSES)


def segformer():
    encoder = hub.SegFormerEncoder(CONFIG, feature_norms=True, image_shape=SHAPE)
    backbone = keras_hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=16)
    return keras_hub.models.SegFormerImageSegmenter(backbone, num_classes=CLASSES)


NETWORKS = {
    "ImageClassifier": image_classifier,
    "ImageSegmenter": image_segmenter,
    "RetinaNet": retinanet,
    "DeepLabV3": deeplab,
    "SegFormer": segformer,
}
# What loads a folder of each, from KerasHub.
LOADERS = {
    "ImageClassifier": keras_hub.models.ImageClassifier,
    "ImageSegmenter": keras_hub.models.ImageSegmenter,
    "RetinaNet": keras_hub.models.ObjectDetector,
    "DeepLabV3": keras_hub.models.ImageSegmenter,
    "SegFormer": keras_hub.models.ImageSegmenter,
}


def randomized(name):
    """A network whose weights are all random."""
    return randomized_model(None, lambda _: NETWORKS[name]())


def images(count=2, size=SIZE):
    return np.random.default_rng(0).standard_normal((count, size, size, 3)).astype(np.float32)


def targets(name):
    """What two images are trained on."""
    if name == "ImageClassifier":
        return np.array([0, 2])
    if name == "RetinaNet":
        boxes = np.array([[[4, 4, 40, 40]], [[8, 16, 56, 60]]], np.float32)
        return {"boxes": boxes, "labels": np.array([[0], [1]])}
    masks = np.random.default_rng(1).integers(0, CLASSES, (2, SIZE, SIZE))
    return masks if name == "ImageSegmenter" else np.eye(CLASSES, dtype=np.float32)[masks]


def outputs(model, inputs):
    """{name: array} of a model."""
    result = model(inputs, training=False)
    result = result if isinstance(result, dict) else {"outputs": result}
    return {name: np.asarray(keras.ops.cast(value, "float32")) for name, value in result.items()}
