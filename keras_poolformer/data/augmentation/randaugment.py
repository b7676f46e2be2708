"""timm's RandAugment (arXiv 1909.13719) as TensorFlow operations.

The operations, their levels and the way they are drawn are those of timm/data/auto_augment.py.
The pixels are Pillow's: see `point_operations` and `affine`. `keras.layers.RandAugment` has other
operations and levels, and draws from a state.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from keras_poolformer.data.augmentation import affine, point_operations
from keras_poolformer.support.errors import InputError

INTERPOLATIONS = ("random", "bilinear", "bicubic")
_MOST = 10.0  # full magnitude


@dataclass(frozen=True)
class RandAugment:
    """How strongly and how often images are changed.

    Args:
        magnitude: Mean strength, 0 to 10.
        num_ops: Number of operations drawn for an image, with replacement.
        magnitude_std: Standard deviation of the strength, which is drawn for each operation and
            clipped to 0 to 10.
        increasing: Whether all operations get stronger with the magnitude.
        probability: Float between 0 and 1. Fraction of the drawn operations that are applied.

    Raises:
        InputError: A value is out of range.
    """

    magnitude: float = 9.0
    num_ops: int = 2
    magnitude_std: float = 0.5
    increasing: bool = True
    probability: float = 0.5

    def __post_init__(self) -> None:
        for name, least, most in (
            ("magnitude", 0, _MOST),
            ("num_ops", 0, 100),
            ("magnitude_std", 0, 100),
            ("probability", 0, 1),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(
                    f"RandAugment: {name} must be {least} to {most:g}. Received: {value}"
                )

    @classmethod
    def parse(cls, text: str) -> "RandAugment | None":
        """Parses timm's configuration string.

        Args:
            text: Text such as "rand-m9-mstd0.5-inc1": m is the magnitude (default 10), n the
                number of operations (2), p the probability (0.5), mstd the standard deviation of
                the magnitude (0), inc whether the operations are increasing (0).

        Returns:
            A `RandAugment`; None for "".

        Raises:
            InputError: A part is unknown, has the wrong type, is given twice or is out of range.
        """
        if not text:
            return None
        name, *parts = text.split("-")
        if name != "rand":
            raise InputError(_refusal(text, f"must begin with 'rand', not {name!r}"))
        options: dict[str, Any] = dict.fromkeys(_PARTS)
        for part in parts:
            match = re.fullmatch(r"([a-z]+)([0-9.]+)", part)
            if not match or match[1] not in _PARTS:
                raise InputError(_refusal(text, f"has an unknown part {part!r}"))
            key, number = match.groups()
            if options[key] is not None:
                raise InputError(_refusal(text, f"has {key!r} twice"))
            try:
                options[key] = _PARTS[key][1](number)
            except ValueError:
                raise InputError(
                    _refusal(text, f"has a number that is not valid in {part!r}")
                ) from None
        given = {_PARTS[key][0]: value for key, value in options.items() if value is not None}
        return cls(**{"magnitude": 10.0, "magnitude_std": 0.0, "increasing": False, **given})

    @property
    def operations(self) -> tuple[str, ...]:
        """timm's names of the operations that are drawn from."""
        return _INCREASING if self.increasing else _PLAIN


# Part of timm's string: field, and function from text to its value.
_PARTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "m": ("magnitude", int),
    "n": ("num_ops", int),
    "p": ("probability", float),
    "mstd": ("magnitude_std", float),
    "inc": ("increasing", lambda text: bool(int(text))),
}


def _refusal(text: str, reason: str) -> str:
    return (
        f"RandAugment {text!r} {reason}. Supported: 'rand' and, in any order, m0 to m10, n2, "
        "p0.5, mstd0.5 and inc1, as in 'rand-m9-mstd0.5-inc1'"
    )


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def rand_augment(
    options: RandAugment,
    pixels: tf.Tensor,
    seed: tf.Tensor,
    fill: Sequence[int],
    interpolation: str = "random",
) -> tf.Tensor:
    """Applies operations that are drawn at random.

    Args:
        options: How strongly and how often images are changed.
        pixels: uint8 (H, W, 3), RGB; H and W may be unknown.
        seed: int32 or int64 (2,). The result is a function of it and of the pixels.
        fill: Three levels, 0 to 255. Color of the pixels that come in at the edges.
        interpolation: "bilinear", "bicubic", or "random" for one of these each time.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: The interpolation is unknown.
    """
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}. Received: {interpolation}"
        )
    draws = draw(options, seed)
    pixels = tf.convert_to_tensor(pixels)
    color = tf.cast(fill, tf.uint8)
    for layer in range(options.num_ops):
        index, magnitude, sign, bicubic = (values[layer] for values in draws)
        if interpolation != "random":
            bicubic = tf.constant(interpolation == "bicubic")
        branches = [
            _branch(name, pixels, magnitude, sign, bicubic, color) for name in options.operations
        ]
        # Only the operation that was drawn runs; index -1 stands for none.
        pixels = tf.switch_case(index, branches, default=lambda kept=pixels: tf.identity(kept))
    return pixels


def _branch(name: str, *arguments: tf.Tensor) -> Callable[[], tf.Tensor]:
    if tf.executing_eagerly():
        return lambda: apply(name, *arguments)
    return lambda: _function(name)(*arguments)


@functools.cache
def _function(name: str) -> Callable[..., tf.Tensor]:
    """`apply` as one node of a graph: nodes of branches that are not taken cost time, too.

    `_noinline` is an attribute of TensorFlow's function library, in TensorFlow 2.20 and 2.21.
    """
    return tf.function(
        functools.partial(apply, name),
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


class Draw(NamedTuple):
    """The operations for one image, each field (num_ops,).

    Attributes:
        index: int32. Index into `RandAugment.operations`, or -1 for no operation.
        magnitude: float64. Strength, 0 to 10.
        sign: float64. Direction, 1 or -1.
        bicubic: bool. Whether to interpolate bicubically.
    """

    index: tf.Tensor
    magnitude: tf.Tensor
    sign: tf.Tensor
    bicubic: tf.Tensor


def draw(options: RandAugment, seed: tf.Tensor) -> Draw:
    """Draws the operations for one image.

    Args:
        options: How strongly and how often images are changed.
        seed: int32 or int64 (2,).
    """
    count = options.num_ops
    chances = tf.random.stateless_uniform((5, count), seed, dtype=tf.float64, alg="philox")
    applied, choice, strength, direction, bicubic = tf.unstack(chances)
    index = tf.cast(choice * len(options.operations), tf.int32)
    index = tf.where(applied < options.probability, index, -1)
    # Quantiles of the normal distribution; the margins keep them finite.
    noise = tf.math.ndtri(tf.clip_by_value(strength, 1e-9, 1.0 - 1e-9))
    magnitude = tf.clip_by_value(options.magnitude + options.magnitude_std * noise, 0.0, _MOST)
    sign = tf.where(direction < 0.5, tf.constant(1.0, tf.float64), -1.0)
    return Draw(index, magnitude, sign, bicubic < 0.5)


def apply(
    name: str,
    pixels: tf.Tensor,
    magnitude: tf.Tensor,
    sign: tf.Tensor,
    bicubic: tf.Tensor,
    fill: tf.Tensor,
) -> tf.Tensor:
    """Applies one operation.

    Args:
        name: timm's name of the operation, such as "ShearX".
        pixels: uint8 (H, W, 3); H and W may be unknown.
        magnitude: Scalar float64. Strength, 0 to 10.
        sign: Scalar float64. Direction, 1 or -1, of operations that have two.
        bicubic: Scalar bool, for operations that interpolate.
        fill: uint8 (3,). Color of the pixels that come in, for operations that move pixels.

    Returns:
        uint8 (H, W, 3).
    """
    operation, level_of = _OPERATIONS[name]
    # Graph optimizers would merge another division with the factor that follows.
    share = tf.math.divide_no_nan(magnitude, _MOST)
    arguments = () if level_of is None else (level_of(share, sign),)
    if operation in _MOVES:
        arguments += (bicubic, fill)
    return operation(tf.convert_to_tensor(pixels), *arguments)


def _whole(share: tf.Tensor, most: int) -> tf.Tensor:
    return tf.cast(share * most, tf.int32)


def _stronger(share: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1.0 + sign * (share * 0.9), 0.1)


def _any_strength(share: tf.Tensor, _sign: tf.Tensor) -> tf.Tensor:
    return share * 1.8 + 0.1


# timm's name: operation, and function from a fraction of the full magnitude and a sign to its
# argument.
_OPERATIONS: dict[str, tuple[Callable[..., tf.Tensor], Callable[..., tf.Tensor] | None]] = {
    "AutoContrast": (point_operations.auto_contrast, None),
    "Equalize": (point_operations.equalize, None),
    "Invert": (point_operations.invert, None),
    "Rotate": (affine.rotate, lambda share, sign: sign * (share * 30.0)),
    "Posterize": (point_operations.posterize, lambda share, _: _whole(share, 4)),
    "PosterizeIncreasing": (point_operations.posterize, lambda share, _: 4 - _whole(share, 4)),
    "Solarize": (point_operations.solarize, lambda share, _: _whole(share, 256)),
    "SolarizeIncreasing": (point_operations.solarize, lambda share, _: 256 - _whole(share, 256)),
    "SolarizeAdd": (point_operations.solarize_add, lambda share, _: _whole(share, 110)),
    "Color": (point_operations.color, _any_strength),
    "ColorIncreasing": (point_operations.color, _stronger),
    "Contrast": (point_operations.contrast, _any_strength),
    "ContrastIncreasing": (point_operations.contrast, _stronger),
    "Brightness": (point_operations.brightness, _any_strength),
    "BrightnessIncreasing": (point_operations.brightness, _stronger),
    "Sharpness": (point_operations.sharpness, _any_strength),
    "SharpnessIncreasing": (point_operations.sharpness, _stronger),
    "ShearX": (affine.shear_x, lambda share, sign: sign * (share * 0.3)),
    "ShearY": (affine.shear_y, lambda share, sign: sign * (share * 0.3)),
    "TranslateXRel": (affine.translate_x, lambda share, sign: sign * (share * 0.45)),
    "TranslateYRel": (affine.translate_y, lambda share, sign: sign * (share * 0.45)),
}
_MOVES = (affine.rotate, affine.shear_x, affine.shear_y, affine.translate_x, affine.translate_y)
_INCREASING = tuple(name for name in _OPERATIONS if f"{name}Increasing" not in _OPERATIONS)
_PLAIN = tuple(name for name in _OPERATIONS if not name.endswith("Increasing"))
