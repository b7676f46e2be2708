"""Tensors and metadata of PyTorch files, read safely and without PyTorch; no model is known here.

This stays our own code: `torch.load(weights_only=True)` needs PyTorch, and no other library
reads its files.
"""
