"""Accuracy of the PyTorch class that a checkpoint belongs to, on the pixels that Keras gets."""

from collections.abc import Callable, Sequence

import numpy as np

from conversion.checkpoints import read_checkpoint
from conversion.oracles import build_oracle
from keras_poolformer.data import folders
from keras_poolformer.evaluation.accuracy import Accuracy, measure_accuracy
from keras_poolformer.images.transform import ImageTransform

BATCH = 64  # images


def measure(
    source: str,
    data: str,
    transform: str | None = None,
    progress: Callable[[int, int], object] | None = None,
    token_mixers: Sequence[str] | None = None,
) -> tuple[str, Accuracy]:
    """Measures top-1 and top-5 in PyTorch.

    Args:
        source: Name, path or URI of a PyTorch checkpoint, as `sources.resolve` takes it.
        data: Folder of class folders, named by the labels or numbers.
        transform: Source whose preparation of images is used instead of the checkpoint's, such
            as a .keras file, or None.
        progress: Function called with (images classified, images in total), or None.
        token_mixers: Token mixers of the stages, where the checkpoint does not tell, or None.

    Returns:
        (name of the class, `evaluation.accuracy.Accuracy`).

    Raises:
        InputError: The checkpoint or the data cannot be used.
    """
    contents, named = read_checkpoint(source, token_mixers=token_mixers)
    config = contents.config
    oracle = build_oracle(config, named.layout.name)
    oracle.load(named.tensors)
    prepare = ImageTransform.from_preset(transform) if transform else contents.transform
    class_folders = folders.find_class_folders(data)
    labels = config.labels or tuple(class_folders)
    examples = folders.label_images(class_folders, labels, config.num_classes)
    batches = folders.read_batches(examples, prepare, BATCH)

    done = 0

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal done
        done += len(images)
        if progress:
            progress(done, len(examples))
        return oracle.run(images)["logits"]

    return oracle.name, measure_accuracy(predict, batches)
