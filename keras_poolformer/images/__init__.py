"""One image: its file, and its preprocessing with Pillow or TensorFlow."""
