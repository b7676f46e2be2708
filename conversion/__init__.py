"""Scripts that need PyTorch: convert with proof, and train the demo checkpoint."""

from conversion.torch_imports import prepare_torchvision

prepare_torchvision()
