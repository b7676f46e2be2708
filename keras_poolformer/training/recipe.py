"""A recipe: everything about a training run except its data."""

import ast
import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.data.augmentation.segmentation import SegmentationAugmentation
from keras_poolformer.images.transform import INTERPOLATIONS, ImageTransform
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown

# What `replace` changes with `optimizer`: the defaults of PyTorch's AdamW and of timm's Lamb.
OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "adamw": {"epsilon": 1e-8, "clip_norm": 0.0},
    "lamb": {"epsilon": 1e-6, "clip_norm": 1.0},
}
CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZER_DEFAULTS),
    "schedule": ("cosine", "poly", "constant"),
    "precision": ("auto", "float32", "mixed_bfloat16"),
    "frozen": ("", "backbone"),
    "classifier": ("auto", "fresh", "keep"),
    "batch_scaling": ("none", "sqrt", "linear"),
}
# sail-sg/metaformer issue 20: training in float16 ended in NaN.
_NOTES = {"precision": " (float16 overflows in the squares of StarReLU)"}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Args:
        config: Architecture of the model, whose head says the task: a class for each image, or
            for each pixel. Its classes are those of the data, and with `init` the shapes are
            those of the checkpoint.
        augmentation: Augmentation of the training images, or of images and masks.
        mixing: Mixing of the training batches; masks are not mixed.
        transform: Preprocessing of the evaluation images.
        batch_size: Number of images in a step, on all devices together.
        epochs: Number of epochs, warm-up included, cool-down not.
        warmup_epochs: Number of epochs, or fraction of one, in which the learning rate rises from
            `warmup_learning_rate` to `learning_rate`.
        cooldown_epochs: Number of epochs after the others, at the last learning rate.
        learning_rate: Highest learning rate, for this batch size.
        warmup_learning_rate: First learning rate.
        min_learning_rate: Last learning rate of the schedule "cosine".
        backbone_learning_rate_scale: Factor of the learning rate for the backbone, which is
            pretrained where the classifier is not.
        batch_scaling: How `replace` adapts the learning rates to another `batch_size`: in
            proportion to it ("linear"), to its square root ("sqrt"), or not ("none"). A
            `learning_rate` that is given in the same call stays as it is.
        schedule: What the learning rate does after the warm-up: "cosine" and "poly" (along
            (1 - t) ** 0.9) fall to `min_learning_rate`, "constant" stays.
        optimizer: "adamw" or "lamb". With another one, `replace` sets `epsilon` and `clip_norm`
            to `OPTIMIZER_DEFAULTS`, unless they are given in the same call.
        weight_decay: Argument of the optimizer.
        beta_1: Argument of the optimizer.
        beta_2: Argument of the optimizer.
        epsilon: Argument of the optimizer.
        clip_norm: L2 norm that the gradients of all weights together are clipped to; 0 for no
            clipping.
        ema_decay: Decay of the averaged weights, which are evaluated and written; 0 for none.
        accumulate_steps: Number of parts in which a device processes its batch, to save memory.
        precision: Dtype policy; "auto" is mixed_bfloat16 on TPUs and float32 elsewhere.
        jit_compile: Whether XLA compiles the step on CPUs and GPUs, with several replicas the
            gradients; on TPUs it always compiles everything.
        steps_per_call: Number of steps run per host call; logging, progress and SIGTERM are
            handled in between.
        save_every: Number of steps between checkpoints, in addition to the one at the end of each
            epoch.
        held_out: Number of training images that are held out for evaluation, instead of another
            split; 0 for none.
        patience: Number of epochs without a higher top-1 or mIoU after which training ends early;
            0 for never.
        frozen: "backbone" trains only the head, "" everything.
        needs_init: Whether the recipe makes sense only with trained weights to start from.
        classifier: What happens to a checkpoint's classifier for the same number of classes:
            "keep" keeps it, "fresh" replaces it, "auto" keeps it only if its labels are the
            class names of the data or unknown. For another number of classes it is always fresh.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1, as in
            ADE20K's files.
        chosen: Names of the fields that `replace` was called with.

    Raises:
        InputError: A value is out of range, or not one of its choices.
    """

    config: MetaFormerConfig
    augmentation: Augmentation | SegmentationAugmentation = field(default_factory=Augmentation)
    mixing: Mixing = field(default_factory=Mixing)
    transform: ImageTransform = field(default_factory=ImageTransform)
    batch_size: int = 4096
    epochs: int = 300
    warmup_epochs: float = 5.0
    cooldown_epochs: int = 10
    learning_rate: float = 4e-3
    warmup_learning_rate: float = 1e-6
    min_learning_rate: float = 1e-5
    backbone_learning_rate_scale: float = 1.0
    batch_scaling: str = "none"
    schedule: str = "cosine"
    optimizer: str = "adamw"
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
    needs_init: bool = False
    classifier: str = "auto"
    reduce_zero_label: bool = False
    chosen: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, low in _LOWEST.items():
            value = getattr(self, name)
            if not value >= low:
                raise InputError(f"`{name}` must be at least {low}. Received: {value!r}")
            if value == math.inf:
                raise InputError(f"`{name}` must be finite. Received: {value!r}")
        for name in ("ema_decay", "beta_1", "beta_2"):
            if getattr(self, name) >= 1:
                raise InputError(f"`{name}` must be below 1. Received: {getattr(self, name)!r}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = ", ".join(map(repr, allowed)) + _NOTES.get(name, "")
                raise InputError(
                    f"`{name}` must be one of {choices}. Received: {shown(getattr(self, name))}"
                )
        if self.warmup_epochs > self.epochs:
            raise InputError(
                f"`warmup_epochs` must be at most epochs={self.epochs}. "
                f"Received: {self.warmup_epochs}"
            )
        self._check_task()

    def _check_task(self) -> None:
        """Rejects parts of another task than the config's."""
        is_segmenter = self.config.is_segmenter
        if is_segmenter != isinstance(self.augmentation, SegmentationAugmentation):
            expected = "a SegmentationAugmentation" if is_segmenter else "an Augmentation"
            raise InputError(
                f"`augmentation` must be {expected}, as head={self.config.head!r} has it. "
                f"Received: {shown(self.augmentation)}"
            )
        if is_segmenter and (self.mixing.mixes or self.mixing.label_smoothing):
            raise InputError(
                "masks are not mixed: `mixup`, `cutmix` and `label_smoothing` must be 0 for a "
                f"segmenter. Received: {self.mixing}"
            )

    @property
    def evaluation_transform(self) -> ImageTransform:
        """How images are prepared for the evaluation: to one size, where `transform` has many."""
        size = self.transform.size
        if self.config.is_segmenter and not isinstance(size, tuple):
            return self.transform.replace(size=(size, size))
        return self.transform

    @property
    def all_epochs(self) -> int:
        """Number of epochs, cool-down included."""
        return self.epochs + self.cooldown_epochs

    def replace(self, **values: Any) -> "Recipe":
        """Returns a copy with some fields replaced, of the recipe or of a part of it.

        Another `batch_size` without a `learning_rate` scales the learning rates, as
        `batch_scaling` says. Another `optimizer` comes with its own defaults.

        Args:
            **values: Fields of the recipe or of its parts.

        Raises:
            InputError: A field does not exist, has another type, or the values do not fit.
        """
        chosen = frozenset(values)
        for name, value in values.items():
            part = self._part_of(name)
            _check_type(name, value, getattr(getattr(self, part) if part else self, name))
        values = self._scaled_rates(values) | self._optimizer_defaults(values) | values
        parts: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            parts.setdefault(self._part_of(name), {})[name] = value
            if name in _SHARED or (name == "interpolation" and value in INTERPOLATIONS):
                parts.setdefault("transform", {})[name] = value
        changed = parts.pop("", {})
        for part, fields in parts.items():
            changed[part] = dataclasses.replace(getattr(self, part), **fields)
        return dataclasses.replace(self, **changed, chosen=self.chosen | chosen)

    def _part_of(self, name: str) -> str:
        """The part of the recipe that has a field, "" for the recipe itself."""
        if name in fields_of(Recipe):
            return ""
        kinds = [type(getattr(self, part)) for part in PARTS]
        for part, kind in zip(PARTS, kinds, strict=True):
            if name in fields_of(kind):
                return part
        names = sorted({name for kind in (Recipe, *kinds) for name in fields_of(kind)})
        raise InputError(
            f"a recipe has no field {shown(name)}.{did_you_mean(name, names)} "
            f"Its fields are {', '.join(names)}"
        )

    def _scaled_rates(self, values: dict[str, Any]) -> dict[str, float]:
        """The learning rates for another batch size, if none is given with it."""
        batch_size = values.get("batch_size", self.batch_size)
        if batch_size < 1 or "learning_rate" in values:
            return {}
        exponents = {"sqrt": 0.5, "linear": 1.0}
        exponent = exponents.get(values.get("batch_scaling", self.batch_scaling), 0.0)
        scale = (batch_size / self.batch_size) ** exponent
        return {name: getattr(self, name) * scale for name in _RATES} if scale != 1 else {}

    def _optimizer_defaults(self, values: dict[str, Any]) -> dict[str, float]:
        """The defaults of another optimizer, if one is given that exists."""
        optimizer = values.get("optimizer", self.optimizer)
        return {} if optimizer == self.optimizer else OPTIMIZER_DEFAULTS.get(optimizer, {})

    def with_settings(self, settings: Iterable[str]) -> "Recipe":
        """Returns a copy with the settings of a command line.

        Args:
            settings: Texts like "batch_size=32"; the value as a Python literal, or bare text.

        Raises:
            InputError: One is not a setting, or `replace` rejects it.
        """
        values = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise InputError(f"a setting must be field=value. Received: {setting!r}")
            values[name.strip()] = _parsed(text.strip())
        return self.replace(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON-ready values."""
        fields = dataclasses.asdict(self)
        del fields["chosen"]
        return fields

    def check_init(self, init: str | None) -> None:
        """Rejects a run without trained weights if the recipe needs them.

        Args:
            init: Preset or checkpoint to start from, or None.

        Raises:
            InputError: The recipe needs one, and there is none.
        """
        if self.needs_init and init is None:
            raise InputError(
                "this recipe fine-tunes trained weights: name them with --init, a preset or a "
                "file (in Python: init=...); "
                "--set needs_init=false trains fresh weights. Received: no --init"
            )


_LOWEST = {
    "batch_size": 1, "epochs": 1, "warmup_epochs": 0, "cooldown_epochs": 0, "learning_rate": 0,
    "warmup_learning_rate": 0, "min_learning_rate": 0, "weight_decay": 0, "beta_1": 0, "beta_2": 0,
    "epsilon": 0, "clip_norm": 0, "ema_decay": 0, "accumulate_steps": 1, "steps_per_call": 1,
    "save_every": 1, "held_out": 0, "patience": 0, "backbone_learning_rate_scale": 0,
}  # fmt: skip

PARTS = ("config", "augmentation", "mixing", "transform")  # fields that have fields
_SHARED = ("size", "mean", "std")  # the same in training and in evaluation
# Fields that follow from the data or from another field.
_NOT_SETTABLE = {*PARTS, "num_classes", "labels", "palette", "problem_type", "chosen"}
_RATES = ("learning_rate", "warmup_learning_rate", "min_learning_rate")


def fields_of(kind: Any) -> list[str]:
    """Returns the names of the settable fields of a recipe or of one of its parts.

    Args:
        kind: `Recipe`, or the class of a part.
    """
    return [field.name for field in dataclasses.fields(kind) if field.name not in _NOT_SETTABLE]


def _parsed(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check_type(name: str, value: Any, present: Any) -> None:
    """Rejects a value of another type than the present one; parts check the rest themselves."""
    kind: Any = type(present)
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
