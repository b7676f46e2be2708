"""Evaluation preprocessing: a picture becomes the array a PoolFormer was trained to see.

`crop_mode="timm"` follows timm's evaluation transform (`timm/data/transforms_factory.py`) and
`crop_mode="hf"` transformers' `PoolFormerImageProcessorPil`, both to the last bit. They resize
alike; they differ in how an odd margin is split and in how 8-bit values become floats.
"""

import dataclasses
import difflib
import importlib
import math
import numbers
from collections.abc import Mapping

import numpy as np
from PIL import Image

from keras_poolformer.errors import InputError
from keras_poolformer.image_files import describe, load_image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()]
    for name in ("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest")
}
CROP_MODES = ("timm", "hf")
MAX_SIZE = 4096
MAX_RESIZED_PIXELS = 64_000_000  # a 1 x 65,000 picture would become 248 x 16,120,000
_OTHER_WORDS = {"image_mean": "mean", "image_std": "std", "resample": "interpolation",
                "input_size": "size", "shortest_edge": "size"}  # fmt: skip
_FLAGS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


@dataclasses.dataclass(frozen=True)
class ImageTransform:
    """Resizes, crops and normalises pictures as the model's origin does.

    Args:
        size: side of the square result in pixels, 1 to 4096.
        crop_pct: the shorter side is resized to `floor(size / crop_pct)` before the crop; in
            (0, 1]. None resizes the shorter side straight to `size`.
        interpolation: "bicubic", "bilinear", "nearest", "lanczos", "box" or "hamming", as Pillow
            defines them (antialiased, rounded to 8 bits after each pass).
        mean, std: per channel, on the scale that `rescale_factor` produces; a number stands for
            all three channels.
        crop_mode: "timm" rounds half a margin to the even number and divides by 255 in float32;
            "hf" rounds it down and multiplies by `rescale_factor` in float64.
        do_resize, do_center_crop, do_rescale, do_normalize: the steps, each of which can be left
            out. Without the crop the result keeps the picture's aspect ratio.
        rescale_factor: what 8-bit values are multiplied by.
        crop_size: side of the crop where it is not `size`; a smaller picture is padded with
            zeros (black) around it.

    Raises:
        InputError: an option has the wrong type or lies out of range.
    """

    size: int = 224
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
    crop_size: int | None = None

    def __post_init__(self):
        _set(self, "size", _checked_side("size", self.size))
        if self.crop_size is not None:
            _set(self, "crop_size", _checked_side("crop_size", self.crop_size))
        if self.crop_pct is not None:
            _set(self, "crop_pct", _checked_crop_pct(self.crop_pct, self.size))
        for name, choices in (("interpolation", INTERPOLATIONS), ("crop_mode", CROP_MODES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                names = ", ".join(sorted(choices))
                raise InputError(f"`{name}` must be one of {names}. Received: {_shown(value)}")
        for name in _FLAGS:
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"`{name}` must be True or False. Received: {_shown(value)}")
            _set(self, name, bool(value))
        if not _is_number(self.rescale_factor) or not self.rescale_factor > 0:
            value = _shown(self.rescale_factor)
            raise InputError(f"`rescale_factor` must be a positive number. Received: {value}")
        _set(self, "rescale_factor", float(self.rescale_factor))
        for name in ("mean", "std"):
            _set(self, name, _checked_channels(name, getattr(self, name)))
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
        from keras_poolformer import presets

        return cls.from_dict(presets.transform_options(source))

    def to_dict(self) -> dict:
        """The constructor's arguments as plain values that JSON can hold."""
        options = dataclasses.asdict(self)
        return options | {"mean": list(self.mean), "std": list(self.std)}

    @property
    def output_size(self) -> int | None:
        """Side of the square result in pixels, or None where nothing is cropped."""
        if not self.do_center_crop:
            return None
        return self.crop_size or self.size

    @property
    def shorter_side(self) -> int | None:
        """Length in pixels that the shorter side is resized to, or None without resizing."""
        if not self.do_resize:
            return None
        return self.size if self.crop_pct is None else math.floor(self.size / self.crop_pct)

    def __call__(self, images) -> np.ndarray:
        """Prepares pictures for the model.

        Args:
            images: a path, a PIL image, a uint8 array (H, W), (H, W, 1), (H, W, 3) or
                (H, W, 4), or a list of these.

        Returns:
            float32 (size, size, 3), RGB; for a list a batch (N, size, size, 3).

        Raises:
            InputError: a picture cannot be read, is too large, or has the wrong dtype or shape.
        """
        return self.normalize(self.pixels(images))

    def pixels(self, images) -> np.ndarray:
        """Like a call, but only resized and cropped.

        Returns:
            uint8 (size, size, 3), or (N, size, size, 3) for a list.
        """
        if not isinstance(images, list | tuple):
            return self._pixels(images)
        if not images:
            raise InputError("the list of images is empty; at least one is needed")
        results = []
        for position, image in enumerate(images):
            try:
                results.append(self._pixels(image))
            except InputError as error:
                raise InputError(f"image {position} of the list: {error}") from error
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
            raise InputError(
                f"{describe(source)}: {image.width} x {image.height} would be resized to {width} "
                f"x {height}, {width * height:,} pixels; the limit is {MAX_RESIZED_PIXELS:,}"
            )
        if self.do_resize:
            image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        if self.do_center_crop:
            side = self.crop_size or self.size
            left, top = self._crop_start(width), self._crop_start(height)
            image = image.crop((left, top, left + side, top + side))  # black beyond the picture
        return np.array(image)

    def _resized(self, width, height):
        shorter = self.shorter_side
        if shorter is None:
            return width, height
        longer = int(shorter * max(width, height) / min(width, height))
        return (shorter, longer) if width <= height else (longer, shorter)

    def _crop_start(self, length):
        """First row or column of the crop; negative where zeros are put before the picture."""
        margin = length - self.output_size
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

    def tf(self, images):
        """The same inside a TensorFlow graph.

        Args:
            images: uint8 tensor (H, W, 3) or (N, H, W, 3), RGB; H and W may be unknown.

        Returns:
            float32 tensor (size, size, 3) or (N, size, size, 3).

        Raises:
            InputError: wrong dtype, rank or channels.
            MissingExtraError: TensorFlow is not installed.
        """
        # Found by name: the LiteRT runtime imports this file and must not reach TensorFlow, and
        # import-linter counts imports inside functions too.
        graph = importlib.import_module("keras_poolformer.image_transform_tf")
        return graph.transform(self, images)


def _set(transform, name, value):
    object.__setattr__(transform, name, value)  # the dataclass is frozen


def _is_number(value):
    if not isinstance(value, numbers.Real) or isinstance(value, bool | np.bool_):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float's range
        return False


def _shown(value):
    return " ".join(repr(value).split())[:100]


def _checked_side(name, value):
    whole = _is_number(value) and isinstance(value, numbers.Integral)
    if not whole or not 1 <= int(value) <= MAX_SIZE:
        raise InputError(
            f"`{name}` must be a whole number of pixels, 1 to {MAX_SIZE}. Received: {_shown(value)}"
        )
    return int(value)


def _checked_crop_pct(value, size):
    least = size / math.sqrt(MAX_RESIZED_PIXELS)  # less resizes every image beyond the limit
    if not _is_number(value) or not least <= value <= 1:
        raise InputError(
            f"`crop_pct` must be None or a number up to 1, for size {size} at least {least:.3g}. "
            f"Received: {_shown(value)}"
        )
    return float(value)


def _checked_channels(name, values):
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if _is_number(values):
        values = (values,) * 3
    plain = isinstance(values, list | tuple) and len(values) == 3
    if not plain or not all(_is_number(value) for value in values):
        raise InputError(f"`{name}` must be a finite number or three. Received: {_shown(values)}")
    return tuple(float(value) for value in values)
