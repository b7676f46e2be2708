"""PyTorch weights without PyTorch: reading, naming, loading and saving them."""
