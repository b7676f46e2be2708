"""Runs exported .tflite files with LiteRT only: neither Keras nor TensorFlow is imported."""

from keras_poolformer.runtime.backbone import TFLiteBackbone
from keras_poolformer.runtime.classifier import TFLiteClassifier

__all__ = ["TFLiteBackbone", "TFLiteClassifier"]
