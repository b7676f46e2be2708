"""Evaluation preprocessing: turns an image into the array that a PoolFormer was trained on.

`crop_mode="timm"` follows timm's evaluation transform (`timm/data/transforms_factory.py`) and
`crop_mode="hf"` transformers' `PoolFormerImageProcessorPil`, both to the last bit. They resize
alike; they differ in how an odd margin is split and in how 8-bit values become floats.
`crop_mode="mmseg"` follows mmsegmentation's test pipeline, as exactly, which resizes with OpenCV
and crops nothing.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image as Image

from keras_poolformer.images import mmseg
from keras_poolformer.images.files import ImageSource, channels_last, describe, load_image
from keras_poolformer.images.geometry import crop_box, resized_size
from keras_poolformer.images.options import (
    CROP_MODES,
    DATA_FORMATS,
    FLAGS,
    MAX_RESIZED_PIXELS,
    OTHER_NAMES,
    as_pair,
    check_mmseg,
    checked_channels,
    checked_crop_pct,
    checked_flag,
    checked_scale,
    checked_size,
    is_number,
)
from keras_poolformer.images.values import batch, rescaled
from keras_poolformer.support.choices import check_choice, reject_unknown
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.untyped import is_list, is_mapping

if TYPE_CHECKING:
    from keras_poolformer.sources import Source

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()]
    for name in ("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest")
}


@dataclasses.dataclass(frozen=True)
class ImageTransform:
    """Resizes, crops and normalizes images as the library that the weights come from does.

    Args:
        size: Side of the square result in pixels, 1 to 4096; or with `crop_mode="hf"` a pair
            (height, width). The dictionaries of transformers are accepted:
            {"shortest_edge": side} and {"height": ..., "width": ...}.
        crop_pct: Float in (0, 1]. The shorter side is resized to `floor(size / crop_pct)` before
            the crop. None resizes the shorter side to `size`. A pair is divided likewise, and the
            image is squeezed to exactly that; but (side, side) with a `crop_pct` means the same
            as `side`.
        interpolation: "bicubic", "bilinear", "nearest", "lanczos", "box" or "hamming", as Pillow
            defines them (antialiased, rounded to 8 bits after each pass). With
            `crop_mode="mmseg"` "bilinear", as OpenCV defines it.
        mean: Mean of each channel, on the scale that `rescale_factor` produces; one number for
            all three channels is accepted.
        std: Standard deviation of each channel, like `mean`.
        crop_mode: "timm" rounds half a margin to the even number and divides by 255 in float32;
            "hf" rounds it down and multiplies by `rescale_factor` in float64. "mmseg", for
            segmenters, resizes the shorter side to `size`, but the longer one at most to four
            times that, and both to the next multiple of 32; see `segmentation_transform`.
        do_resize: Whether the image is resized.
        do_center_crop: Whether the image is cropped. Without the crop the result keeps the
            image's aspect ratio, unless squeezed.
        do_rescale: Whether 8-bit values are multiplied by `rescale_factor`.
        rescale_factor: Factor for 8-bit values.
        do_normalize: Whether `mean` is subtracted and the result divided by `std`.
        crop_size: Side of the crop, or (height, width), where it differs from `size`; a smaller
            image is padded with zeros (black) on all sides.

    Raises:
        InputError: An option has the wrong type or is out of range.
    """

    size: int | tuple[int, int] = 224
    crop_pct: float | None = 0.9
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_mode: str = "timm"
    do_resize: bool = True
    do_center_crop: bool = True
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    crop_size: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._set("size", checked_size("size", self.size))
        if self.crop_size is not None:
            self._set("crop_size", checked_size("crop_size", self.crop_size))
        if self.crop_pct is not None:
            self._set("crop_pct", checked_crop_pct(self.crop_pct, max(as_pair(self.size))))
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_choice("crop_mode", self.crop_mode, CROP_MODES)
        for name in FLAGS:
            self._set(name, checked_flag(name, getattr(self, name)))
        self._set("rescale_factor", checked_scale("rescale_factor", self.rescale_factor))
        self._set("mean", checked_channels("mean", self.mean))
        self._set("std", checked_channels("std", self.std))
        if isinstance(self.size, tuple) and self.crop_mode == "timm":
            raise InputError(
                "`size` as (height, width) needs `crop_mode`='hf' or 'mmseg'. Received: "
                f"size={self.size}, crop_mode={self.crop_mode!r}"
            )
        if self.crop_mode == "mmseg":
            check_mmseg(self.crop_pct, self.interpolation, self.do_center_crop)
        self._check_range()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def _check_range(self) -> None:
        with np.errstate(all="ignore"):
            levels = self.normalize(np.array([[0] * 3, [255] * 3], np.uint8))
            usable = np.isfinite(levels).all() and (np.array(self.std, np.float32) > 0).all()
        if not usable:
            raise InputError(
                "`std` must be positive; `mean`, `std`, `rescale_factor` must keep values finite. "
                f"Received: {self.mean}, {self.std}, {self.rescale_factor}"
            )

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> "ImageTransform":
        """Builds a transform from the result of `to_dict`.

        Args:
            options: Arguments of the constructor; the others keep their defaults.

        Raises:
            InputError: A name is unknown or a value is rejected.
        """
        if not is_mapping(options):
            raise InputError(f"expected a mapping of options. Received: {type(options).__name__}")
        names = [field.name for field in dataclasses.fields(cls)]
        reject_unknown("ImageTransform has no option", options, names, OTHER_NAMES)
        return cls(**options)

    @classmethod
    def from_preset(cls, source: "Source | str | os.PathLike[str]") -> "ImageTransform":
        """Returns the transform of a preset, checkpoint or hub directory.

        Args:
            source: Source that `MetaFormerImageClassifier.from_preset` accepts.
        """
        from keras_poolformer import sources

        found = sources.resolve(source)
        return found.transform or found.read(weights=False).transform

    def to_dict(self) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-ready values."""
        options = dataclasses.asdict(self)
        return {name: list(value) if is_list(value) else value for name, value in options.items()}

    def replace(self, **options: Any) -> "ImageTransform":
        """Returns a copy with some of the constructor's arguments replaced.

        Raises:
            InputError: A name is unknown or a value is rejected.
        """
        return self.from_dict(self.to_dict() | options) if options else self

    @property
    def output_shape(self) -> tuple[int, int] | None:
        """(height, width) of the result in pixels, or None where it depends on the image."""
        if self.do_center_crop:
            return as_pair(self.crop_size or self.size)
        return self.resized_to if isinstance(self.resized_to, tuple) else None

    @property
    def output_size(self) -> int | None:
        """Side of the result in pixels, or None where it depends on the image.

        Raises:
            InputError: The result is not square.
        """
        height, width = self.output_shape or (None, None)
        if height != width:
            raise InputError(
                f"the transform must give square images here. Received: {height} x {width} pixels"
            )
        return height

    @property
    def resized_to(self) -> int | tuple[int, int] | None:
        """Length of the shorter side after resizing, or (height, width), or None without it."""
        if not self.do_resize:
            return None
        if self.crop_pct is None:
            return self.size
        height, width = (math.floor(side / self.crop_pct) for side in as_pair(self.size))
        return height if height == width else (height, width)

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        *,
        data_format: str = "channels_last",
        input_data_format: str | None = None,
        **overrides: Any,
    ) -> np.ndarray:
        """Prepares images for the model.

        Args:
            images: Path, PIL image, or uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); or
                a list of these.
            data_format: Format of the result: "channels_last", as Keras expects it, or
                "channels_first", as PyTorch does.
            input_data_format: Format of arrays: "channels_last" as above, "channels_first" for
                (1, H, W), (3, H, W) and (4, H, W), "none" for (H, W); None for any of the forms
                above. Nothing is inferred from a shape.
            **overrides: Arguments of the constructor, for this call only.

        Returns:
            float32 (H, W, 3), RGB, H and W as in `output_shape`; for a list a batch
            (N, H, W, 3); the 3 before H with "channels_first".

        Raises:
            InputError: An image cannot be read, is too large, or has the wrong dtype or shape;
                or an option is rejected.
        """
        check_choice("data_format", data_format, DATA_FORMATS)
        transform = self.replace(**overrides)
        values = transform.normalize(transform.pixels(images, input_data_format))
        if data_format == "channels_last":
            return values
        return np.ascontiguousarray(np.moveaxis(values, -1, -3))

    def pixels(
        self,
        images: ImageSource | Sequence[ImageSource],
        input_data_format: str | None = None,
    ) -> np.ndarray:
        """Resizes and crops images as a call does, without normalizing them.

        Returns:
            uint8 (H, W, 3), or (N, H, W, 3) for a list.
        """
        if is_list(images):
            return batch(images, lambda image: self._pixels(image, input_data_format))
        image: Any = images
        return self._pixels(image, input_data_format)

    def _pixels(self, source: ImageSource, input_data_format: str | None) -> np.ndarray:
        source = channels_last(source, input_data_format)
        image = load_image(source)
        if self.crop_mode == "mmseg":
            pixels = np.array(image)
            return mmseg.prepare(pixels, self.size) if self.do_resize else pixels
        width, height = resized_size(self.resized_to, image.width, image.height)
        if width * height > MAX_RESIZED_PIXELS:
            raise ImageError(
                f"{describe(source)}: {image.width} x {image.height} would be resized to {width} "
                f"x {height}, {width * height:,} pixels; the limit is {MAX_RESIZED_PIXELS:,}"
            )
        if self.do_resize:
            image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        if self.do_center_crop:
            crop = as_pair(self.crop_size or self.size)
            image = image.crop(crop_box(self.crop_mode, height, width, crop))  # black beyond it
        return np.array(image)

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Rescales and normalizes 8-bit values, in the precision of the `crop_mode`'s library.

        Args:
            pixels: uint8 (..., 3).

        Returns:
            float32 of the same shape.
        """
        factor = self.rescale_factor if self.do_rescale else None
        values = rescaled(pixels, factor, self.crop_mode)
        if self.do_normalize:
            values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return values

    @property
    def tf(self) -> Callable[[Any], Any]:
        """The same transform as a TensorFlow function, for `Dataset.map` and SavedModels.

        `images.graph.transform` describes its argument and result.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        from keras_poolformer.images import graph

        return graph.bound(self)


def checked_transform(transform: object) -> ImageTransform | None:
    """Returns an `ImageTransform` or None unchanged, and raises InputError for anything else."""
    if transform is None or isinstance(transform, ImageTransform):
        return transform
    hint = f", as in ImageTransform(size={transform})" if is_number(transform) else ""
    raise InputError(f"`transform` must be an ImageTransform{hint}. Received: {shown(transform)}")
