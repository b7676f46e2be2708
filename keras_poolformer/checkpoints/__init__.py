"""PyTorch weights without PyTorch: reading, naming and moving them."""
