"""Data sets of tensorflow-datasets, whose images stay encoded; heavy imports are inside."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.messages import one_line as as_one_line
from keras_poolformer.support.quiet import logger_limited

# NAME[/CONFIG][:VERSION]. Not supported, though tfds reads them: namespaces, which it looks up on
# the network, and arguments for the class that builds the data set.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:[\d*][\w.*]*)?", re.ASCII)


def open_builder(name: str, data_dir: str | os.PathLike[str] | None = None) -> Any:
    """Opens an image classification data set; downloads it where it is not prepared.

    Args:
        name: Name of the data set, NAME[/CONFIG][:VERSION].
        data_dir: Folder of tfds data sets, local or gs://; tfds' own default if None.

    Returns:
        tfds' builder of the data set.

    Raises:
        InputError: There is no such data set, it cannot be prepared, or it is not images with a
            class each.
        MissingExtraError: tensorflow-datasets is not installed.
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


def stored(builder: Any, split: str, cycle_length: int = 1, block_length: int = 16) -> Any:
    """Reads examples as the files hold them: images are the bytes of a JPEG or PNG.

    Args:
        builder: tfds' builder of a prepared data set.
        split: Name of a split, or what else tfds takes for one.
        cycle_length: Number of files that are read at once; 1 keeps the order of the files.
        block_length: Number of examples that each of these gives in its turn.

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
        enable_ordering_guard=False,  # which rejects interleaving without shuffling
    )
    # tfds logs warnings about its own use of deprecated names.
    with logger_limited("absl", logging.ERROR):
        return builder.as_dataset(
            split=split, shuffle_files=False, decoders=wanted, read_config=config
        )


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
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
    with opening, _only_features_of_tfds(name), contextlib.redirect_stdout(sys.stderr):
        try:
            return tfds.builder(name, data_dir=data_dir)
        except DatasetNotFoundError:
            names = tfds.list_builders(with_community_datasets=False)
            names += _prepared(data_dir or tfds.core.constants.DATA_DIR)
    hint = did_you_mean(re.split("[/:]", name)[0].lower(), names)
    raise InputError(f"{name} is neither a folder nor a tensorflow-datasets data set.{hint}")


@contextlib.contextmanager
def _only_features_of_tfds(name: str) -> Iterator[None]:
    """Within the block tfds rejects data sets whose features.json names modules of others.

    It would import such a module, and so run it: a file of unknown origin must not choose it.
    `FeatureConnector.cls_from_name` is public, but undocumented; tensorflow-datasets 4.9 has it.
    """
    import tensorflow_datasets as tfds

    connector = tfds.features.FeatureConnector
    original = connector.cls_from_name

    def cls_from_name(class_name: str) -> Any:
        if not str(class_name).startswith("tensorflow_datasets."):
            raise InputError(
                f"the features.json of {name} must name features of tensorflow_datasets only: "
                f"others are programs, which are not run. Received: {shown(class_name)}"
            )
        return original(class_name)

    connector.cls_from_name = cls_from_name
    try:
        yield
    finally:
        connector.cls_from_name = original


def _prepared(data_dir: str | os.PathLike[str]) -> list[str]:
    try:
        return [path.name for path in Path(data_dir).expanduser().iterdir()]
    except OSError:
        return []


def _check_features(name: str, features: Any) -> None:
    import tensorflow_datasets as tfds

    found = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    image = found.get("image")
    shape: Any = getattr(image, "shape", ())
    bytes_of_pixels = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
    readable = bytes_of_pixels and shape[-1] in (1, 3)
    if not readable or not isinstance(found.get("label"), tfds.features.ClassLabel):
        shown = ", ".join(f"{key} {_kind(feature)}" for key, feature in found.items())
        raise InputError(
            f"{name} must have the features image, of 8-bit RGB or gray pixels, and label, a "
            f"ClassLabel. Received: {shown or type(features).__name__}"
        )


def _kind(feature: Any) -> str:
    shape = feature.shape if isinstance(feature.shape, tuple) else ()
    kind = f" {shape} {np.dtype(feature.np_dtype)}" if shape else ""
    return f"({type(feature).__name__}{kind})"


@contextlib.contextmanager
def one_line(meaning: str) -> Iterator[None]:
    """Turns what tfds raises within the block into an InputError that begins with `meaning`.

    The code of a data set downloads and builds it, so any exception may come: AssertionError
    for files that must be downloaded by hand, those of network libraries, checksums, TensorFlow.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{meaning}: {as_one_line(error)}") from error
