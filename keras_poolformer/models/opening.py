"""The model of a SOURCE."""

from keras_poolformer.models.overrides import override
from keras_poolformer.sources import presets


def load_model(source, load_weights=True, backbone=False, size=None, labels=None, **arguments):
    """The model of a source, with the size and the labels that `add_overrides` reads.

    What is missing is reported before TensorFlow is imported.
    """
    source = presets.resolve(source)
    if load_weights:
        source = presets.fetch_weights(source)
    from keras_poolformer.models.classifier import PoolFormerBackbone, PoolFormerImageClassifier
    from keras_poolformer.models.loading import load_preset

    model_class = PoolFormerBackbone if backbone else PoolFormerImageClassifier
    model = load_preset(model_class, source, load_weights, **arguments)
    override(model, size, labels)
    return model
