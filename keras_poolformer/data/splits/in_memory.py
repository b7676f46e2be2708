"""Images in memory, with a class or a mask each: arrays, or a tf.data.Dataset.

They become PNG files in memory, so that whatever reads images from files reads these, too, and
gets the same pixels. Needs neither Keras nor TensorFlow.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

import numpy as np
import PIL.Image as Image

from keras_poolformer.data.class_matching import class_index, match_classes
from keras_poolformer.data.folders import spread
from keras_poolformer.data.labeled import Examples
from keras_poolformer.data.masked import MaskedFolder
from keras_poolformer.data.masks import MaskedImage
from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.images.files import EncodedImage, load_image
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

_FAST = 1  # compression level of PNG: files are decoded often, and never written
_DIGITS = 12  # of the checksum in a name
_INFINITE = -1  # cardinality of a tf.data.Dataset
_BATCH_RANK = 4
_MOST_NUMBERED = 100_000  # classes that need no names


class ImageDataset(Protocol):
    """A tf.data.Dataset of (image, label) or (image, mask), whose own class has no types."""

    @property
    def element_spec(self) -> Any:
        """Types and shapes of an element."""
        ...

    def cardinality(self) -> Any:
        """Returns the number of elements, below 0 if it is infinite or unknown."""
        ...

    def as_numpy_iterator(self) -> Iterator[Any]:
        """Returns an iterator of the elements as numpy values."""
        ...


Pairs: TypeAlias = tuple[Any, Any] | ImageDataset  # images and classes or masks, in memory
ImageData: TypeAlias = str | os.PathLike[str] | Pairs


def is_in_memory(data: ImageData) -> TypeGuard[Pairs]:
    """Whether data are arrays or a tf.data.Dataset, and not a path, an address or a name."""
    return not isinstance(data, str | os.PathLike)


def name_of(data: ImageData) -> str:
    """Returns the name of data, for progress, errors and cards."""
    return "data in memory" if is_in_memory(data) else str(data)


@dataclass(frozen=True, eq=False)
class ImagesInMemory:
    """Images with a class or a mask each.

    Args:
        name: Name of all of them, with their checksum, so that a run is resumed with these only.
        images: Image files.
        classes: int64 (N,), their classes; () where they have masks.
        masks: Files of their masks; () where they have classes.
    """

    name: str
    images: tuple[EncodedImage, ...]
    classes: np.ndarray
    masks: tuple[EncodedImage, ...]

    @property
    def target(self) -> str:
        """What each image has: "label" or "mask"."""
        return "mask" if self.masks else "label"


@dataclass(frozen=True, eq=False)
class ClassesInMemory:
    """Images with a class each, to evaluate on.

    Args:
        data: The images.
        class_names: Class names in the order of the labels.
    """

    data: ImagesInMemory
    class_names: tuple[str, ...]

    def examples_for(
        self, labels: Sequence[str] | None, num_classes: int, limit: int | None = None
    ) -> Examples:
        """See `LabeledImages.examples_for`; classes are found as `match_classes` does."""
        indices, _ = match_classes(
            self.class_names, labels, num_classes, self.data.name, numbers=True
        )
        pairs = zip(self.data.images, self.data.classes.tolist(), strict=True)
        examples = [(image, class_index(image, label, indices)) for image, label in pairs]
        chosen = spread(examples, limit)
        return Examples(chosen, len(chosen))


def images_to_evaluate(
    data: Pairs, class_names: Sequence[str] | None, reduce_zero_label: bool
) -> ClassesInMemory | MaskedFolder:
    """Reads images in memory, to evaluate on.

    Args:
        data: What `read_pairs` takes.
        class_names: Class names in the order of the labels; None if the model's numbers are meant.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.

    Raises:
        InputError: They cannot be used.
    """
    images = read_pairs(data)
    if images.target == "label":
        return ClassesInMemory(images, names_or_numbers(class_names, images))
    return MaskedFolder(
        files=[MaskedImage(*pair) for pair in zip(images.images, images.masks, strict=True)],
        names_from="`class_names`",
        class_names=checked_class_names(list(class_names), "`class_names`") if class_names else (),
        reduce_zero_label=reduce_zero_label,
    )


def names_or_numbers(class_names: Sequence[str] | None, *parts: ImagesInMemory) -> tuple[str, ...]:
    """Returns the class names that were given, or else the numbers of the classes.

    Args:
        class_names: Class names in the order of the labels, or None.
        *parts: The images, in one or more parts.

    Raises:
        InputError: The names are not valid.
    """
    if class_names is None:
        last = max(int(part.classes.max()) for part in parts)
        if last >= _MOST_NUMBERED:
            raise InputError(
                f"labels must be class numbers below {_MOST_NUMBERED:,}, or `class_names` name "
                f"them all. Received: {last}"
            )
        class_names = [str(number) for number in range(last + 1)]
    return checked_class_names(list(class_names), "`class_names`")


def read_pairs(data: Pairs) -> ImagesInMemory:
    """Reads images in memory.

    Args:
        data: (images, labels), where images are a uint8 array (N, H, W, 3) or a sequence of what
            `load_image` takes, and labels are whole numbers (N,) or (N, 1), or masks (N, H, W) or
            (N, H, W, 1) or a sequence of them; or a tf.data.Dataset of such images and labels,
            single or in batches.

    Raises:
        InputError: They are something else, there are none, or an image has no label.
    """
    images: list[bytes] = []
    targets: list[np.ndarray] = []
    checksum = hashlib.sha256()  # of pixels and labels: files depend on Pillow's version
    for source, label in _pairs(data):
        image, target = load_image(source), _target(label)
        checksum.update(f"{image.size}, {target.shape}".encode())
        checksum.update(image.tobytes() + target.astype("<i8").tobytes())
        images.append(_png(image))
        targets.append(target)
    if not images:
        raise InputError("`data` must hold images. Received: none")
    is_mask = {target.ndim == 2 for target in targets}
    if len(is_mask) > 1:
        raise InputError("`data` must hold a class or a mask for each image. Received: both")
    masks = [_mask_png(target) for target in targets] if is_mask == {True} else []
    classes = np.array([] if masks else targets, np.int64)
    name = f"{len(images):,} images in memory (SHA-256 {checksum.hexdigest()[:_DIGITS]})"
    return ImagesInMemory(name, _named(images, "image"), classes, _named(masks, "mask"))


def _named(files: Sequence[bytes], kind: str) -> tuple[EncodedImage, ...]:
    return tuple(
        EncodedImage(content, f"{kind} {number} in memory") for number, content in enumerate(files)
    )


def _pairs(data: Pairs) -> Iterable[tuple[Any, Any]]:
    """Yields each image and its class or mask."""
    if not isinstance(data, tuple):
        return _elements(data)
    lengths = [len(part) for part in data]
    if len(lengths) != 2 or len(set(lengths)) > 1:
        raise InputError(
            "`data` must be (images, labels), with a label or a mask for each image. Received: "
            f"{len(lengths)} parts of lengths {', '.join(map(str, lengths))}"
        )
    return zip(*data, strict=True)


def _elements(data: ImageDataset) -> Iterator[tuple[Any, Any]]:
    """The elements of a tf.data.Dataset, those of a batch one after the other."""
    spec: Any = getattr(data, "element_spec", None)
    if not isinstance(spec, tuple) or len(cast("tuple[Any, ...]", spec)) != 2:
        received = type(data).__name__ if spec is None else f"elements {spec}"
        raise InputError(
            "`data` must be a path, a name, (images, labels), or a tf.data.Dataset of (image, "
            f"label), as tfds gives it with as_supervised=True. Received: {shown(received, 200)}"
        )
    if int(data.cardinality()) == _INFINITE:
        raise InputError("`data` must end: take(n) of it. Received: an infinite tf.data.Dataset")
    is_batched = spec[0].shape.rank == _BATCH_RANK
    for images, targets in data.as_numpy_iterator():
        if is_batched:
            yield from zip(images, targets, strict=True)
        else:
            yield images, targets


def _target(target: Any) -> np.ndarray:
    """A class as (), or a mask as (H, W)."""
    array = np.asarray(target)
    if array.shape == (1,) or (array.ndim == 3 and array.shape[2] == 1):
        array = array[..., 0]
    if array.ndim not in (0, 2) or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            "labels must be whole numbers, one for each image, or masks (H, W) of them. "
            f"Received: {array.dtype} of shape {array.shape} for an image"
        )
    return array


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=_FAST)
    return content.getvalue()


def _mask_png(mask: np.ndarray) -> bytes:
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(f"masks must hold 0 to 65535. Received: {low if low < 0 else high}")
    return _png(Image.fromarray(mask.astype(np.uint8 if high <= 255 else np.uint16)))
