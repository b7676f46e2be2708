"""The model of a SOURCE."""

from keras_poolformer import presets


def load_model(source, load_weights=True, backbone=False, **arguments):
    """The model of a source; what cannot be had is said before TensorFlow is imported."""
    source = presets.resolve(source)
    if load_weights:
        source = presets.fetch_weights(source)
    from keras_poolformer.loading import load_preset
    from keras_poolformer.model import PoolFormerBackbone, PoolFormerImageClassifier

    model_class = PoolFormerBackbone if backbone else PoolFormerImageClassifier
    return load_preset(model_class, source, load_weights, **arguments)
