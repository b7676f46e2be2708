"""Labelled images of tensorflow-datasets, as the files that they were; heavy imports are inside."""

import contextlib
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.data.class_matching import chosen, class_index, match_classes
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.messages import one_line as as_one_line
from keras_poolformer.support.quiet import logger_limited

# NAME[/CONFIG][:VERSION]. What tfds reads besides is left out: namespaces, which it looks up in
# the network, and arguments for the class that builds the data set.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:[\d*][\w.*]*)?", re.ASCII)
DEFAULT_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class TfdsSplit:
    """The labelled images of one split of a data set that is prepared.

    Args:
        name: of the data set, as it was given.
        split: name of the split, or what tfds takes for one, as in "test[:100]".
        builder: of tfds.
        num_examples: in the split.
    """

    name: str
    split: str
    builder: Any
    num_examples: int

    @property
    def class_names(self):
        """Names of the classes, in the order of their numbers; "0", "1", ... if unknown."""
        return list(self.builder.info.features["label"].names)

    def class_indices(self, labels, num_classes):
        """Finds the model's class for each class, as `match_classes` does."""
        return match_classes(self.class_names, labels, num_classes, self.name)

    def examples(self, indices, limit=None):
        """Reads the images, when they are asked for and without decoding them.

        Args:
            indices: class index of the model for each class of the data set.
            limit: at most so many, evenly spread; None for all.

        Yields:
            (EncodedImage, class index).

        Raises:
            InputError: the files of the data set are damaged, or an image has no label.
        """
        subject = f"{self.name} {self.split}"
        hint = f"; --split names another of {', '.join(self.builder.info.splits)}"
        for number, example in chosen(self._stored(), self.num_examples, limit):
            image = EncodedImage(bytes(example["image"]), f"example {number} of {subject}")
            yield image, class_index(image, example["label"], indices, hint)

    def _stored(self):
        with one_line(f"{self.name} {self.split} cannot be read"):
            yield from stored(self.builder, self.split).as_numpy_iterator()


def open_split(name, split=None, data_dir=None):
    """Opens a split of an image classification data set; downloads it where it is not prepared.

    Args:
        name: NAME[/CONFIG][:VERSION] of a tfds data set, or of one prepared in `data_dir`.
        split: as tfds takes it; by default `test`, or `validation` if there is none.
        data_dir: where data sets lie, a folder or a gs:// address; tfds' default if None.

    Returns:
        A `TfdsSplit`.

    Raises:
        InputError: there is no such data set or split, it cannot be prepared, or it is not
            images with a class each.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    return _split(name, open_builder(name, data_dir), split)


def open_builder(name, data_dir=None):
    """Opens an image classification data set; downloads it where it is not prepared.

    Args:
        name, data_dir: as for `open_split`.

    Returns:
        The builder of tfds.

    Raises:
        InputError, MissingExtraError: as `open_split`.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name} must be a folder of class folders or the name of a tensorflow-datasets data "
            "set, as in cifar10 or imagenet_v2/matched-frequency. Received: no such folder"
        )
    builder = _builder(name, data_dir)
    _check_features(name, builder.info.features)
    # tfds reports to stdout, which is for results.
    with one_line(f"{name} cannot be prepared"), contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()
    return builder


def stored(builder, split, cycle_length=1, block_length=16):
    """Reads examples as they lie in the files: images are the bytes of a JPEG or PNG.

    Args:
        builder: of a data set that is prepared.
        split: as tfds takes it.
        cycle_length: files that are read at once; 1 keeps the order of the files.
        block_length: examples that each of these gives in its turn.

    Returns:
        tf.data.Dataset of {"image": scalar string, "label": scalar int64}, in an order that is
        the same every time.
    """
    import tensorflow_datasets as tfds

    wanted = tfds.decode.PartialDecoding(
        {"image": True, "label": True}, {"image": tfds.decode.SkipDecoding()}
    )
    config = tfds.ReadConfig(
        try_autocache=False,
        interleave_cycle_length=cycle_length,
        interleave_block_length=block_length,
        enable_ordering_guard=False,  # else it refuses to mix what was not shuffled
    )
    # tfds remarks on its own use of its own deprecated names.
    with logger_limited("absl", logging.ERROR):
        return builder.as_dataset(
            split=split, shuffle_files=False, decoders=wanted, read_config=config
        )


def _builder(name, data_dir):
    import tensorflow  # noqa: F401 - tfds imports it late, where an error would not name it

    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_datasets":
            raise
        reason = f"there is no folder {name}, and for data sets "
        raise MissingExtraError("tensorflow-datasets", "train", reason) from None
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    opening = one_line(f"{name} cannot be opened")
    with opening, _own_features_alone(name), contextlib.redirect_stdout(sys.stderr):
        try:
            return tfds.builder(name, data_dir=data_dir)
        except DatasetNotFoundError:
            known = tfds.list_builders(with_community_datasets=False)
            known += _prepared(data_dir or tfds.core.constants.DATA_DIR)
    hint = did_you_mean(re.split("[/:]", name)[0].lower(), known)
    raise InputError(f"{name} is neither a folder nor a tensorflow-datasets data set.{hint}")


@contextlib.contextmanager
def _own_features_alone(name):
    """Within the block tfds opens no data set whose features.json names a module of others.

    It would import that module, and so run it: a file of unknown origin must not choose it.
    """
    import tensorflow_datasets as tfds

    connector = tfds.features.FeatureConnector
    original = connector.cls_from_name

    def cls_from_name(class_name):
        if not str(class_name).startswith("tensorflow_datasets."):
            raise InputError(
                f"the features.json of {name} must name features of tensorflow_datasets alone: "
                f"others are programs, which are not run. Received: {shown(class_name)}"
            )
        return original(class_name)

    connector.cls_from_name = cls_from_name
    try:
        yield
    finally:
        connector.cls_from_name = original


def _prepared(data_dir):
    try:
        return [path.name for path in Path(data_dir).expanduser().iterdir()]
    except OSError:
        return []


def _check_features(name, features):
    import tensorflow_datasets as tfds

    found = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    image = found.get("image")
    shape: Any = getattr(image, "shape", ())
    bytes_of_pixels = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
    readable = bytes_of_pixels and shape[-1] in (1, 3)
    if not readable or not isinstance(found.get("label"), tfds.features.ClassLabel):
        shown = ", ".join(f"{key} {_kind(feature)}" for key, feature in found.items())
        raise InputError(
            f"{name} must have the features image, of 8-bit RGB or grey pixels, and label, a "
            f"ClassLabel. Received: {shown or type(features).__name__}"
        )


def _kind(feature):
    shape = feature.shape if isinstance(feature.shape, tuple) else ()
    kind = f" {shape} {np.dtype(feature.np_dtype)}" if shape else ""
    return f"({type(feature).__name__}{kind})"


def _split(name, builder, split):
    splits = builder.info.splits
    known = ", ".join(splits) or "none"
    if split is None:
        split = next((one for one in DEFAULT_SPLITS if one in splits), None)
        if split is None:
            raise InputError(
                f"{name} has neither test nor validation: --split names one of {known}"
            )
    with one_line(f"--split must be what tensorflow-datasets takes for {name} ({known})"):
        num_examples = splits[split].num_examples or 0
    if num_examples < 1:
        raise InputError(f"--split must hold at least one image of {name}. Received: {split}")
    return TfdsSplit(name, split, builder, num_examples)


@contextlib.contextmanager
def one_line(meaning):
    """Turns what tfds raises into an InputError that begins with `meaning`.

    A data set's own code downloads and builds it, so any exception may come: AssertionError
    for files that must be fetched by hand, those of network libraries, checksums, TensorFlow.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{meaning}: {as_one_line(error)}") from error
