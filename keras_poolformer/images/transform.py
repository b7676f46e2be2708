"""Evaluation preprocessing: a picture becomes the array a PoolFormer was trained to see.

`crop_mode="timm"` follows timm's evaluation transform (`timm/data/transforms_factory.py`) and
`crop_mode="hf"` transformers' `PoolFormerImageProcessorPil`, both to the last bit. They resize
alike; they differ in how an odd margin is split and in how 8-bit values become floats.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping

import numpy as np
from PIL import Image

from keras_poolformer.images.files import channels_last, describe, load_image
from keras_poolformer.images.options import (
    MAX_RESIZED_PIXELS,
    as_pair,
    checked_channels,
    checked_crop_pct,
    checked_size,
    is_number,
)
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.messages import shown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()]
    for name in ("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest")
}
CROP_MODES = ("timm", "hf")
_OTHER_WORDS = {"image_mean": "mean", "image_std": "std", "resample": "interpolation",
                "input_size": "size", "shortest_edge": "size"}  # fmt: skip
_FLAGS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
DATA_FORMATS = ("channels_last", "channels_first")


@dataclasses.dataclass(frozen=True)
class ImageTransform:
    """Resizes, crops and normalises pictures as the model's origin does.

    Args:
        size: side of the square result in pixels, 1 to 4096; or with `crop_mode="hf"` a pair
            (height, width). The dictionaries of transformers are understood:
            {"shortest_edge": side} and {"height": ..., "width": ...}.
        crop_pct: the shorter side is resized to `floor(size / crop_pct)` before the crop; in
            (0, 1]. None resizes the shorter side straight to `size`. A pair is divided alike,
            and the picture is squeezed to exactly that; but (side, side) with a `crop_pct`
            means the same as `side`.
        interpolation: "bicubic", "bilinear", "nearest", "lanczos", "box" or "hamming", as Pillow
            defines them (antialiased, rounded to 8 bits after each pass).
        mean, std: per channel, on the scale that `rescale_factor` produces; a number stands for
            all three channels.
        crop_mode: "timm" rounds half a margin to the even number and divides by 255 in float32;
            "hf" rounds it down and multiplies by `rescale_factor` in float64.
        do_resize, do_center_crop, do_rescale, do_normalize: the steps, each of which can be left
            out. Without the crop the result keeps the picture's aspect ratio, unless squeezed.
        rescale_factor: what 8-bit values are multiplied by.
        crop_size: side of the crop, or (height, width), where it is not `size`; a smaller
            picture is padded with zeros (black) around it.

    Raises:
        InputError: an option has the wrong type or lies out of range.
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

    def __post_init__(self):
        _set(self, "size", checked_size("size", self.size))
        if self.crop_size is not None:
            _set(self, "crop_size", checked_size("crop_size", self.crop_size))
        if self.crop_pct is not None:
            _set(self, "crop_pct", checked_crop_pct(self.crop_pct, max(as_pair(self.size))))
        for name, choices in (("interpolation", INTERPOLATIONS), ("crop_mode", CROP_MODES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                names = ", ".join(sorted(choices))
                raise InputError(f"`{name}` must be one of {names}. Received: {shown(value)}")
        for name in _FLAGS:
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"`{name}` must be True or False. Received: {shown(value)}")
            _set(self, name, bool(value))
        if not is_number(self.rescale_factor) or not self.rescale_factor > 0:
            value = shown(self.rescale_factor)
            raise InputError(f"`rescale_factor` must be a positive number. Received: {value}")
        _set(self, "rescale_factor", float(self.rescale_factor))
        for name in ("mean", "std"):
            _set(self, name, checked_channels(name, getattr(self, name)))
        if isinstance(self.size, tuple) and self.crop_mode != "hf":
            raise InputError(
                f"`size` as (height, width) needs `crop_mode`='hf'. Received: size={self.size}, "
                f"crop_mode={self.crop_mode!r}"
            )
        self._check_range()

    def _check_range(self):
        with np.errstate(all="ignore"):
            levels = self.normalize(np.array([[0] * 3, [255] * 3], np.uint8))
            usable = np.isfinite(levels).all() and (np.array(self.std, np.float32) > 0).all()
        if not usable:
            raise InputError(
                "`std` must be positive; `mean`, `std`, `rescale_factor` must keep values finite. "
                f"Received: {self.mean}, {self.std}, {self.rescale_factor}"
            )

    @classmethod
    def from_dict(cls, options) -> "ImageTransform":
        """Builds a transform from `to_dict`'s result.

        Args:
            options: mapping of constructor arguments; the rest keep their defaults.

        Raises:
            InputError: a name is unknown or a value is refused.
        """
        if not isinstance(options, Mapping):
            raise InputError(f"expected a mapping of options. Received: {type(options).__name__}")
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = [_OTHER_WORDS[name]] if name in _OTHER_WORDS else []
                close += difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"
                raise InputError(f"the image transform has no option {name!r}; {hint}")
        return cls(**options)

    @classmethod
    def from_preset(cls, source) -> "ImageTransform":
        """The transform that belongs to a preset, checkpoint or hub directory.

        Args:
            source: what `PoolFormerImageClassifier.from_preset` takes.
        """
        from keras_poolformer import sources

        found = sources.resolve(source)
        return found.transform or found.read(weights=False).transform

    def to_dict(self) -> dict:
        """The constructor's arguments as plain values that JSON can hold."""
        options = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in options.items()
        }

    def replace(self, **options) -> "ImageTransform":
        """A copy with some of the constructor's arguments replaced.

        Raises:
            InputError: a name is unknown or a value is refused.
        """
        return self.from_dict(self.to_dict() | options) if options else self

    @property
    def output_shape(self) -> tuple[int, int] | None:
        """(height, width) of the result in pixels, or None where it depends on the picture."""
        if self.do_center_crop:
            return as_pair(self.crop_size or self.size)
        return self.resized_to if isinstance(self.resized_to, tuple) else None

    @property
    def output_size(self) -> int | None:
        """Side of the square result in pixels, or None where it depends on the picture.

        Raises:
            InputError: the result is not square.
        """
        height, width = self.output_shape or (None, None)
        if height != width:
            raise InputError(
                f"the transform must give square images here. Received: {height} x {width} pixels"
            )
        return height

    @property
    def resized_to(self) -> int | tuple[int, int] | None:
        """What the shorter side is resized to, or (height, width), or None without resizing."""
        if not self.do_resize:
            return None
        if self.crop_pct is None:
            return self.size
        height, width = (math.floor(side / self.crop_pct) for side in as_pair(self.size))
        return height if height == width else (height, width)

    def __call__(
        self, images, *, data_format="channels_last", input_data_format=None, **overrides
    ) -> np.ndarray:
        """Prepares pictures for the model.

        Args:
            images: a path, a PIL image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or
                (H, W, 4), or a list of these.
            data_format: of the result: "channels_last", as Keras takes it, or
                "channels_first", as PyTorch does.
            input_data_format: of arrays: "channels_last" as above, "channels_first" for
                (1, H, W), (3, H, W) and (4, H, W), "none" for (H, W); None is either of the
                forms above. Nothing is guessed from a shape.
            **overrides: arguments of the constructor, for this call alone.

        Returns:
            float32 (H, W, 3), RGB, H and W as in `output_shape`; for a list a batch
            (N, H, W, 3); the 3 before H with "channels_first".

        Raises:
            InputError: a picture cannot be read, is too large, or has the wrong dtype or shape;
                an option is refused.
        """
        if data_format not in DATA_FORMATS:
            known = " or ".join(DATA_FORMATS)
            raise InputError(f"`data_format` must be {known}. Received: {shown(data_format)}")
        transform = self.replace(**overrides)
        values = transform.normalize(transform.pixels(images, input_data_format))
        if data_format == "channels_last":
            return values
        return np.ascontiguousarray(np.moveaxis(values, -1, -3))

    def pixels(self, images, input_data_format=None) -> np.ndarray:
        """Like a call, but only resized and cropped.

        Returns:
            uint8 (H, W, 3), or (N, H, W, 3) for a list.
        """
        if not isinstance(images, list | tuple):
            return self._pixels(channels_last(images, input_data_format))
        if not images:
            raise InputError("the list of images is empty; at least one is needed")
        results = []
        for position, image in enumerate(images):
            try:
                results.append(self._pixels(channels_last(image, input_data_format)))
            except InputError as error:
                raise type(error)(f"image {position} of the list: {error}") from error
        if any(result.shape != results[0].shape for result in results):
            raise InputError(
                "images of different sizes make a batch only with do_center_crop=True. "
                f"Received: {sorted({result.shape[:2] for result in results})}"
            )
        return np.stack(results)

    def _pixels(self, source):
        image = load_image(source)
        width, height = self._resized(image.width, image.height)
        if width * height > MAX_RESIZED_PIXELS:
            raise ImageError(
                f"{describe(source)}: {image.width} x {image.height} would be resized to {width} "
                f"x {height}, {width * height:,} pixels; the limit is {MAX_RESIZED_PIXELS:,}"
            )
        if self.do_resize:
            image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        if self.do_center_crop:
            high, wide = as_pair(self.crop_size or self.size)
            left, top = self._crop_start(width, wide), self._crop_start(height, high)
            image = image.crop((left, top, left + wide, top + high))  # black beyond the picture
        return np.array(image)

    def _resized(self, width, height):
        target = self.resized_to
        if target is None:
            return width, height
        if isinstance(target, tuple):
            return target[1], target[0]
        longer = int(target * max(width, height) / min(width, height))
        return (target, longer) if width <= height else (longer, target)

    def _crop_start(self, length, cropped):
        """First row or column of the crop; negative where zeros are put before the picture."""
        margin = length - cropped
        if self.crop_mode == "hf":
            return margin // 2
        return round(margin / 2) if margin >= 0 else -(-margin // 2)

    def normalize(self, pixels) -> np.ndarray:
        """Rescales and normalises 8-bit values.

        Args:
            pixels: uint8 (..., 3).

        Returns:
            float32 of the same shape, by the same operations in the same precision as the
            library that `crop_mode` names.
        """
        is_bytes = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8
        if not is_bytes or pixels.shape[-1:] != (3,):
            raise InputError(f"expected a uint8 array (..., 3). Received: {describe(pixels)}")
        if not self.do_rescale:
            values = pixels.astype(np.float32)
        elif self.crop_mode == "timm" and self.rescale_factor == 1 / 255:
            values = pixels.astype(np.float32) / np.float32(255)
        else:
            values = (pixels.astype(np.float64) * self.rescale_factor).astype(np.float32)
        if self.do_normalize:
            values = (values - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return values

    @property
    def tf(self):
        """The same inside a TensorFlow graph: a function for `Dataset.map` and SavedModels.

        Its argument is an RGB tensor (H, W, 3) or (N, H, W, 3), H and W may be unknown: uint8,
        or floats from 0 to 255, which are rounded to whole numbers and clipped. It returns
        float32 (H, W, 3) or (N, H, W, 3), H and W as in `output_shape`, and raises InputError
        on another dtype, rank or number of channels.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        from keras_poolformer.images import graph

        return graph.bound(self)


def checked_transform(transform):
    """Returns an `ImageTransform` or None as it is, and refuses anything else.

    Raises:
        InputError: It is something else.
    """
    if transform is None or isinstance(transform, ImageTransform):
        return transform
    hint = f", as in ImageTransform(size={transform})" if is_number(transform) else ""
    raise InputError(f"`transform` must be an ImageTransform{hint}. Received: {shown(transform)}")


def _set(transform, name, value):
    object.__setattr__(transform, name, value)  # the dataclass is frozen
