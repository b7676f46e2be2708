"""Accuracy of the PyTorch class that a checkpoint belongs to, on the pixels that Keras gets."""

from conversion.oracles import build_oracle
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.data import folders
from keras_poolformer.evaluation.accuracy import measure_accuracy
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.sources import presets
from keras_poolformer.support.errors import InputError

BATCH = 64


def measure(source, data, transform=None, progress=None):
    """Measures top-1 and top-5 in PyTorch.

    Args:
        source: a PyTorch checkpoint file, hub directory or preset.
        data: folder of class folders, named by the labels or numbers.
        transform: a `.keras` file or preset whose preparation of images is taken; the source's
            own if None.
        progress: called with (images that were classified, of how many), or None.

    Returns:
        (name of the class, `evaluation.accuracy.Accuracy`).

    Raises:
        InputError: the source or the data cannot be used.
    """
    source = presets.resolve(source)
    if source.is_keras:
        raise InputError(f"{source.name}: give the PyTorch checkpoint, not the Keras model")
    source = presets.fetch_weights(source)
    checkpoint = read_checkpoint(source.weights)
    layout, config = presets.describe(checkpoint, source)
    oracle = build_oracle(config, layout.name)
    oracle.load(checkpoint.tensors)
    prepare = ImageTransform.from_preset(transform or source)
    class_folders = folders.find_class_folders(data)
    labels = config.labels or tuple(class_folders)
    examples = folders.label_images(class_folders, labels, config.num_classes)
    batches = folders.read_batches(examples, prepare, BATCH)

    def predict(images):
        predict.done += len(images)
        if progress:
            progress(predict.done, len(examples))
        return oracle.run(images)["logits"]

    predict.done = 0
    return oracle.name, measure_accuracy(predict, batches)
