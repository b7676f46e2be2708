"""RandAugment (arXiv 1909.13719) as timm has it, as TensorFlow operations.

The operations, their levels and the way they are drawn are those of timm/data/auto_augment.py.
The pixels are Pillow's: see `point_operations` and `affine`.
"""

import functools
import re
from dataclasses import dataclass

import tensorflow as tf

from keras_poolformer.data.augmentation import affine, point_operations
from keras_poolformer.support.errors import InputError

INTERPOLATIONS = ("random", "bilinear", "bicubic")
_MOST = 10.0  # the scale of magnitudes


@dataclass(frozen=True)
class RandAugment:
    """How strongly and how often images are changed.

    Args:
        magnitude: mean strength, 0 to 10.
        num_ops: operations drawn for an image, with replacement.
        magnitude_std: standard deviation of the strength, which is drawn for each operation and
            clipped to 0 to 10.
        increasing: whether all operations get stronger with the magnitude.
        probability: with which a drawn operation is applied.

    Raises:
        InputError: a value out of range.
    """

    magnitude: float = 9.0
    num_ops: int = 2
    magnitude_std: float = 0.5
    increasing: bool = True
    probability: float = 0.5

    def __post_init__(self):
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
    def parse(cls, text):
        """Reads timm's configuration string.

        Args:
            text: such as "rand-m9-mstd0.5-inc1": m the magnitude (default 10), n the number of
                operations (2), p the probability (0.5), mstd the magnitude's deviation (0), inc
                whether the operations increase (0).

        Returns:
            A `RandAugment`; None for "".

        Raises:
            InputError: a part that is unknown, of the wrong type, given twice or out of range.
        """
        if not text:
            return None
        name, *parts = text.split("-")
        if name != "rand":
            raise InputError(_refusal(text, f"must begin with 'rand', not {name!r}"))
        options = dict.fromkeys(_PARTS)
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
                raise InputError(_refusal(text, f"has a wrong number in {part!r}")) from None
        given = {_PARTS[key][0]: value for key, value in options.items() if value is not None}
        return cls(**{"magnitude": 10.0, "magnitude_std": 0.0, "increasing": False, **given})

    @property
    def operations(self):
        """The names of the operations that are drawn from, as timm has them."""
        return _INCREASING if self.increasing else _PLAIN


# What stands for what in timm's string.
_PARTS = {
    "m": ("magnitude", int),
    "n": ("num_ops", int),
    "p": ("probability", float),
    "mstd": ("magnitude_std", float),
    "inc": ("increasing", lambda text: bool(int(text))),
}


def _refusal(text, reason):
    return (
        f"RandAugment {text!r} {reason}. Supported: 'rand' and, in any order, m0 to m10, n2, "
        "p0.5, mstd0.5 and inc1, as in 'rand-m9-mstd0.5-inc1'"
    )


@tf.autograph.experimental.do_not_convert  # no Python here depends on values
def rand_augment(options, pixels, seed, fill, interpolation="random"):
    """Applies operations that are drawn at random.

    Args:
        options: a `RandAugment`.
        pixels: uint8 (H, W, 3), RGB; H and W may be unknown.
        seed: int32 or int64 (2,); the result is a function of it and of the pixels.
        fill: three levels, 0 to 255: the colour that comes in at the edges.
        interpolation: "bilinear", "bicubic", or "random" for one of these each time.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: unknown interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}. Received: {interpolation}"
        )
    draws = draw(options, seed)
    pixels = tf.convert_to_tensor(pixels)
    fill = tf.cast(fill, tf.uint8)
    for layer in range(options.num_ops):
        index, magnitude, sign, bicubic = (values[layer] for values in draws)
        if interpolation != "random":
            bicubic = tf.constant(interpolation == "bicubic")
        branches = [
            _branch(name, pixels, magnitude, sign, bicubic, fill) for name in options.operations
        ]
        # Only the operation that was drawn runs; index -1 is none.
        pixels = tf.switch_case(index, branches, default=lambda kept=pixels: tf.identity(kept))
    return pixels


def _branch(name, *arguments):
    if tf.executing_eagerly():
        return lambda: apply(name, *arguments)
    return lambda: _function(name)(*arguments)


@functools.cache
def _function(name):
    """`apply` as one node of a graph: the nodes of branches not taken cost time too."""
    return tf.function(
        functools.partial(apply, name),
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def draw(options, seed):
    """Draws what is done to one image.

    Args:
        options: a `RandAugment`.
        seed: int32 or int64 (2,).

    Returns:
        Four tensors (num_ops,): int32 index into `options.operations`, or -1 where nothing is
        done; float64 magnitude, 0 to 10; float64 sign, 1 or -1; bool, whether to interpolate
        bicubically.
    """
    count = options.num_ops
    chances = tf.random.stateless_uniform((5, count), seed, dtype=tf.float64, alg="philox")
    applied, choice, strength, direction, bicubic = tf.unstack(chances)
    index = tf.cast(choice * len(options.operations), tf.int32)
    index = tf.where(applied < options.probability, index, -1)
    # The quantiles of the normal distribution; the margins keep them finite.
    noise = tf.math.ndtri(tf.clip_by_value(strength, 1e-9, 1.0 - 1e-9))
    magnitude = tf.clip_by_value(options.magnitude + options.magnitude_std * noise, 0.0, _MOST)
    sign = tf.where(direction < 0.5, tf.constant(1.0, tf.float64), -1.0)
    return index, magnitude, sign, bicubic < 0.5


def apply(name, pixels, magnitude, sign, bicubic, fill):
    """Applies one operation.

    Args:
        name: timm's, such as "ShearX".
        pixels: uint8 (H, W, 3); H and W may be unknown.
        magnitude: float64 scalar, 0 to 10.
        sign: float64 scalar, 1 or -1, for operations that have two directions.
        bicubic: bool scalar, for operations that interpolate.
        fill: uint8 (3,), for operations that move pixels.

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


def _whole(share, most):
    return tf.cast(share * most, tf.int32)


def _stronger(share, sign):
    return tf.maximum(1.0 + sign * (share * 0.9), 0.1)


def _any_strength(share, _sign):
    return share * 1.8 + 0.1


# timm's name: operation, and its argument for a share (0 to 1) of the full magnitude and a sign.
_OPERATIONS = {
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
