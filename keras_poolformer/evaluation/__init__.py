"""Running anything that classifies, and its accuracy on labeled images."""
