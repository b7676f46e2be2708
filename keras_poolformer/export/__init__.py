"""From a Keras model to files that other programs run: SavedModel and LiteRT."""
