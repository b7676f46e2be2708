"""PyTorch files without PyTorch, safely; nothing here knows of any model."""
