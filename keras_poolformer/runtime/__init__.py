"""Runs exported .tflite files with LiteRT alone: neither Keras nor TensorFlow is imported."""

from keras_poolformer.runtime.backbone import TFLiteBackbone as TFLiteBackbone
from keras_poolformer.runtime.classifier import TFLiteClassifier as TFLiteClassifier
