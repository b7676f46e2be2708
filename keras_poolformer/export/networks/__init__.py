"""Inference networks, equal to the trainable model: folded floats, 8-bit integers."""
