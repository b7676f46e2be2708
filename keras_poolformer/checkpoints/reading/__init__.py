"""Reads tensors and metadata of PyTorch files, safely and without PyTorch; knows no model."""
