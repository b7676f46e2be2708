"""Runs exported .tflite files with LiteRT, without importing Keras or TensorFlow."""

from keras_poolformer.runtime.backbone import TFLiteBackbone
from keras_poolformer.runtime.classifier import TFLiteClassifier

__all__ = ["TFLiteBackbone", "TFLiteClassifier"]
