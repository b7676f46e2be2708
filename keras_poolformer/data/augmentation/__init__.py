"""timm's augmentation as TensorFlow operations, a function of (seed, epoch, example)."""
