"""The Keras models: layers, backbone, classifier, and how they are loaded and saved."""
