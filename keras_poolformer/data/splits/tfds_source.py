"""Data sets of tensorflow-datasets, whose images stay encoded; heavy imports are inside."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.messages import did_you_mean, shown
from keras_poolformer.support.messages import one_line as as_one_line
from keras_poolformer.support.quiet import logger_limited

# NAME[/CONFIG][:VERSION]. Not supported, though tfds reads them: namespaces, which it looks up on
# the network, and arguments for the class that builds the data set.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:[\d*][\w.*]*)?", re.ASCII)
_IMAGES = ("image", "image_left")  # the second one of cityscapes and lost_and_found
# Of oxford_iiit_pet and caltech_birds; scene_parse150; cityscapes and lost_and_found; others.
_MASKS = ("segmentation_mask", "annotation", "segmentation_label", "mask", "label")


Found = TypeVar("Found")


@dataclass(frozen=True)
class Features:
    """The features of a data set that are read.

    Args:
        image: Name of the feature with the image.
        target: Name of the feature with its class or its mask.
        files: Names of those that are image files, which stay encoded.
    """

    image: str
    target: str
    files: tuple[str, ...]


def open_builder(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    find_features: Callable[[str, Any], Found],
) -> tuple[Any, Found]:
    """Opens a data set; downloads it where it is not prepared.

    Args:
        name: Name of the data set, NAME[/CONFIG][:VERSION].
        data_dir: Folder of tfds data sets, local or gs://; tfds' own default if None.
        find_features: `class_features`, `mask_features` or `all_features`.

    Returns:
        (tfds' builder of the data set, the features that were found).

    Raises:
        InputError: There is no such data set, it cannot be prepared, or it does not have the
            features.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name} must be a folder of class folders or the name of a tensorflow-datasets data "
            "set, as in cifar10 or imagenet_v2/matched-frequency. Received: no such folder"
        )
    builder = _builder(name, data_dir)
    features = find_features(name, builder.info.features)
    # tfds reports to stdout, which is for results.
    with one_line(f"{name} cannot be prepared"), contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()
    return builder, features


def stored(
    builder: Any, features: Features, split: str, cycle_length: int = 1, block_length: int = 16
) -> Any:
    """Reads examples as the files hold them: images are the bytes of a JPEG or PNG.

    Args:
        builder: tfds' builder of a prepared data set.
        features: Features to read.
        split: Name of a split, or what else tfds takes for one.
        cycle_length: Number of files that are read at once; 1 keeps the order of the files.
        block_length: Number of examples that each of these gives in its turn.

    Returns:
        tf.data.Dataset of {name of a feature: scalar string, or int64 of a class}, in an order
        that is the same every time.
    """
    import tensorflow_datasets as tfds

    wanted = tfds.decode.PartialDecoding(
        {features.image: True, features.target: True},
        {name: tfds.decode.SkipDecoding() for name in features.files},
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


def class_features(name: str, features: Any) -> Features:
    """Returns the features of images with a class each.

    Args:
        name: Name of the data set, for errors.
        features: tfds' features of the data set.

    Raises:
        InputError: It does not have them.
    """
    import tensorflow_datasets as tfds

    found = _named(features)
    label = found.get("label")
    if not _is_image(found.get("image")) or not isinstance(label, tfds.features.ClassLabel):
        raise InputError(
            f"{name} must have the features image, of 8-bit RGB or gray pixels, and label, a "
            f"ClassLabel. Received: {_listed(features)}"
        )
    return Features("image", "label", ("image",))


def mask_features(name: str, features: Any) -> Features:
    """Returns the features of images with a mask each.

    Args:
        name: Name of the data set, for errors.
        features: tfds' features of the data set.

    Raises:
        InputError: It does not have them.
    """
    found = _named(features)
    image = next((key for key in _IMAGES if _is_image(found.get(key))), None)
    mask = next((key for key in _MASKS if _is_mask(found.get(key))), None)
    if image is None or mask is None:
        raise InputError(
            f"{name} must have the features image, of 8-bit RGB or gray pixels, and one of "
            f"{', '.join(_MASKS)}, an Image of the classes of the pixels. "
            f"Received: {_listed(features)}"
        )
    return Features(image, mask, (image, mask))


def all_features(name: str, features: Any) -> dict[str, Features]:
    """Returns {"label": features of images with a class each, "mask": with a mask each}.

    Args:
        name: Name of the data set, for errors.
        features: tfds' features of the data set.

    Raises:
        InputError: It has neither; what it has only one of is left out.
    """
    found: dict[str, Features] = {}
    with contextlib.suppress(InputError):
        found["mask"] = mask_features(name, features)
    try:
        found["label"] = class_features(name, features)
    except InputError:
        if not found:
            raise
    return found


def mask_names(feature: Any) -> tuple[str, ...]:
    """Returns the class names that a LabeledImage has; () for any other mask.

    Args:
        feature: tfds' feature of the masks.
    """
    if not getattr(feature, "num_classes", None):
        return ()
    names = tuple(feature.names)
    numbered = tuple(str(number) for number in range(len(names)))  # tfds' names for no names
    return () if names == numbered else names


def _named(features: Any) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    return dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}


def _is_image(feature: Any) -> bool:
    return _is_mask(feature) and feature.np_dtype == np.uint8 and feature.shape[-1] in (1, 3)


def _is_mask(feature: Any) -> bool:
    """Whether a feature is an image; scene_parse150 declares its gray masks as RGB."""
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image) and feature.np_dtype in (np.uint8, np.uint16)


def _listed(features: Any) -> str:
    kinds = [f"{key} {_kind(feature)}" for key, feature in _named(features).items()]
    return ", ".join(kinds) or type(features).__name__


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
