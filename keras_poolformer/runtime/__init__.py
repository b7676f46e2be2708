"""Runs exported .tflite files with LiteRT, without importing Keras or TensorFlow."""

from keras_poolformer.runtime.backbone import TFLiteBackbone
from keras_poolformer.runtime.classifier import TFLiteClassifier
from keras_poolformer.runtime.segmenter import TFLiteSegmenter

__all__ = ["TFLiteBackbone", "TFLiteClassifier", "TFLiteSegmenter"]
