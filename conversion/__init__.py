"""Scripts that need PyTorch: convert with proof, and train the demo checkpoint."""
