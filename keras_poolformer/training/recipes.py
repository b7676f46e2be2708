"""Recipes: all that a training run is told besides its data, one readable row each."""

import ast
import dataclasses
import difflib
import math
from dataclasses import dataclass, field

from keras_poolformer.config import VARIANTS, PoolFormerConfig
from keras_poolformer.data.augment import Augmentation
from keras_poolformer.data.mixing import Mixing
from keras_poolformer.errors import InputError
from keras_poolformer.image_transform import ImageTransform

PRECISIONS = ("auto", "float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Args:
        config: the model; its classes are those of the data.
        augmentation: what happens to an image.
        mixing: what happens to a batch.
        transform: of the images that it is evaluated on.
        batch_size: images in a step, on all devices together.
        epochs: with warm-up, without cool-down.
        warmup_epochs: from `warmup_learning_rate` up to `learning_rate`.
        cooldown_epochs: after the others, at `min_learning_rate`.
        learning_rate: the highest, at this batch size.
        warmup_learning_rate: the first.
        min_learning_rate: the last.
        weight_decay, beta_1, beta_2, epsilon: of AdamW.
        clip_norm: the gradient's L2 norm is cut to this; 0 for never.
        ema_decay: of the averaged weights, which are evaluated and written; 0 for none.
        accumulate_steps: parts that a device's batch is worked through in, to save memory.
        precision: "auto" is mixed_bfloat16 on TPUs and float32 elsewhere.
        jit_compile: whether XLA compiles the step on CPUs and GPUs, with several replicas the
            gradients; on TPUs it always compiles everything.
        steps_per_call: steps between two looks at the world: log, progress, signals.
        save_every: steps between checkpoints, besides the one at the end of each epoch.
        held_out: training images that are kept for evaluation, in place of another split.
        patience: Epochs without a higher top-1 after which training ends early; 0 for never.
        frozen: "backbone" trains the head alone, "" everything.
    """

    config: PoolFormerConfig
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixing: Mixing = field(default_factory=Mixing)
    transform: ImageTransform = field(default_factory=ImageTransform)
    batch_size: int = 4096
    epochs: int = 300
    warmup_epochs: int = 5
    cooldown_epochs: int = 10
    learning_rate: float = 4e-3
    warmup_learning_rate: float = 1e-6
    min_learning_rate: float = 1e-5
    weight_decay: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    accumulate_steps: int = 1
    precision: str = "auto"
    jit_compile: bool = False
    steps_per_call: int = 10
    save_every: int = 1000
    held_out: int = 0
    patience: int = 0
    frozen: str = ""

    def __post_init__(self):
        for one in dataclasses.fields(self):
            value, low = getattr(self, one.name), _LOWEST.get(one.name)
            if low is not None and not value >= low:
                raise InputError(f"`{one.name}` must be at least {low}. Received: {value!r}")
            if value == math.inf:
                raise InputError(f"`{one.name}` must be finite. Received: {value!r}")
        for name in ("ema_decay", "beta_1", "beta_2"):
            if getattr(self, name) >= 1:
                raise InputError(f"`{name}` must be below 1. Received: {getattr(self, name)!r}")
        for name, allowed in (("precision", PRECISIONS), ("frozen", ("", "backbone"))):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"`{name}` must be one of {', '.join(map(repr, allowed))}. "
                    f"Received: {getattr(self, name)!r}"
                )
        if self.warmup_epochs > self.epochs:
            raise InputError(
                f"`warmup_epochs` must be at most epochs={self.epochs}. "
                f"Received: {self.warmup_epochs}"
            )

    @property
    def all_epochs(self):
        """Epochs and cool-down epochs."""
        return self.epochs + self.cooldown_epochs

    def replace(self, **values):
        """Returns a copy with some fields replaced, of the recipe or of a part of it.

        Raises:
            InputError: a field does not exist, has another type, or the values do not fit.
        """
        own, parts = {}, {}
        for name, value in values.items():
            part = _owner(name)
            _check_type(name, value, getattr(getattr(self, part) if part else self, name))
            (parts.setdefault(part, {}) if part else own)[name] = value
            if name in _SHARED:
                parts.setdefault("transform", {})[name] = value
        for part, changed in parts.items():
            own[part] = dataclasses.replace(getattr(self, part), **changed)
        return dataclasses.replace(self, **own)

    def with_settings(self, settings):
        """Returns a copy with what a command line says.

        Args:
            settings: texts like "batch_size=32"; the value as Python writes it, or bare text.

        Raises:
            InputError: as `replace`.
        """
        values = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise InputError(f"a setting must be field=value. Received: {setting!r}")
            values[name.strip()] = _parsed(text.strip())
        return self.replace(**values)

    def to_dict(self):
        """Returns all fields as JSON-ready values."""
        return dataclasses.asdict(self)


_LOWEST = {
    "batch_size": 1, "epochs": 1, "warmup_epochs": 0, "cooldown_epochs": 0, "learning_rate": 0,
    "warmup_learning_rate": 0, "min_learning_rate": 0, "weight_decay": 0, "beta_1": 0, "beta_2": 0,
    "epsilon": 0, "clip_norm": 0, "ema_decay": 0, "accumulate_steps": 1, "steps_per_call": 1,
    "save_every": 1, "held_out": 0, "patience": 0,
}  # fmt: skip

_PARTS = {
    "config": PoolFormerConfig,
    "augmentation": Augmentation,
    "mixing": Mixing,
    "transform": ImageTransform,
}
_SHARED = ("size", "mean", "std")  # what the network sees, in training and in evaluation
# What follows from the data or from another field.
_NOT_SETTABLE = {*_PARTS, "num_classes", "labels"}


def _fields(kind):
    return [one.name for one in dataclasses.fields(kind) if one.name not in _NOT_SETTABLE]


def _owner(name):
    """The part of a recipe that has a field, "" for the recipe itself."""
    if name in _fields(Recipe):
        return ""
    for part, kind in _PARTS.items():
        if name in _fields(kind):
            return part
    known = sorted({one for kind in (Recipe, *_PARTS.values()) for one in _fields(kind)})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    raise InputError(f"a recipe has no field `{name}`.{hint} Its fields are {', '.join(known)}")


def _parsed(text):
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check_type(name, value, present):
    """Refuses a value of another type than the present one; parts check the rest themselves."""
    kind: type | tuple[type, ...] = type(present)
    if isinstance(present, float):
        kind = (int, float)
    elif isinstance(present, tuple):
        kind = (tuple, list)
    is_bool = isinstance(value, bool)
    if present is not None and (
        not isinstance(value, kind) or is_bool != isinstance(present, bool)
    ):
        wanted = "number" if isinstance(present, float) else type(present).__name__
        raise InputError(f"`{name}` must be of type {wanted}. Received: {value!r}")


def _imagenet(variant, **values):
    """The authors' recipe (sail-sg README and train.py): AdamW, batch 4096, 300 epochs."""
    config = VARIANTS[variant]
    crop_pct = 0.95 if variant[-3] == "m" else 0.9
    return Recipe(config=config, transform=ImageTransform(crop_pct=crop_pct), **values)


def _poolformer_s12_in1k():
    """Expected top-1 77.2 % (paper). 310 epochs are 7.2e17 multiply-accumulates forward,
    and about three times that with the way back.

    keras-poolformer train --recipe poolformer_s12_in1k --data imagenet2012 --strategy tpu
    """
    return _imagenet("poolformer_s12")


def _poolformer_s24_in1k():
    """Expected top-1 80.3 % (paper); 1.9 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_s24")


def _poolformer_s36_in1k():
    """Expected top-1 81.4 % (paper); 2.7 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_s36")


def _poolformer_m36_in1k():
    """Expected top-1 82.1 % (paper); 4.8 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_m36")


def _poolformer_m48_in1k():
    """Expected top-1 82.5 % (paper); 6.4 times the cost of poolformer_s12_in1k."""
    return _imagenet("poolformer_m48")


def _finetune():
    """A trained s12 on classes of one's own, given by --init; minutes to hours on one GPU.

    A tenth of the recipe's learning rate for the batch, a short schedule, gentle augmentation.
    `--set frozen=backbone` trains the classifier alone.
    """
    config = VARIANTS["poolformer_s12"]
    return Recipe(
        config=config,
        augmentation=Augmentation(crop_scale=(0.3, 1.0), rand_augment="", erasing=0.0),
        mixing=Mixing(mixup=0.0, cutmix=0.0),
        batch_size=64,
        epochs=20,
        warmup_epochs=1,
        cooldown_epochs=0,
        learning_rate=1e-4,
        min_learning_rate=1e-6,
    )


def _poolformer_tiny_cifar10():
    """The demo's network on CIFAR-10 at 64 pixels; 45,000 images train, 5,000 choose."""
    config = PoolFormerConfig(
        depths=(2, 2, 4, 2),
        widths=(40, 80, 160, 224),
        num_classes=10,
        layer_scale_init=0.1,  # 1e-5, made for 300 epochs, hardly moves in so few
    )
    transform = ImageTransform(size=64, crop_pct=1.0)
    return Recipe(
        config=config,
        augmentation=Augmentation(size=64, crop_scale=(0.6, 1.0), rand_augment="", erasing=0.0),
        mixing=Mixing(mixup=0.0, cutmix=0.0),
        transform=transform,
        batch_size=128,
        epochs=24,
        warmup_epochs=2,
        cooldown_epochs=0,
        learning_rate=2e-3,
        held_out=5000,
    )


RECIPES = {
    "poolformer_s12_in1k": _poolformer_s12_in1k,
    "poolformer_s24_in1k": _poolformer_s24_in1k,
    "poolformer_s36_in1k": _poolformer_s36_in1k,
    "poolformer_m36_in1k": _poolformer_m36_in1k,
    "poolformer_m48_in1k": _poolformer_m48_in1k,
    "finetune": _finetune,
    "poolformer_tiny_cifar10": _poolformer_tiny_cifar10,
}


def get_recipe(name):
    """Returns a recipe by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"`recipe` must be one of {', '.join(RECIPES)}.{hint} Received: {name!r}")
    return RECIPES[name]()
