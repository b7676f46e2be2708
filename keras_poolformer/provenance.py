"""Where a model's weights come from: a value that travels with them through every file.

In memory it is a `Provenance`. Files hold it as one flat JSON object whose fields have had the
same names since the first release, and whose "format" says how to read it; files without that
field are older. Objects in files are untrusted: see `provenance_fields`.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance_fields import checked_fields
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.version import __version__

FORMAT = 2  # of the JSON object; 1 has no field that says so
_EMPTY = (None, "", (), {})


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """The PyTorch checkpoint that weights were loaded from. None: not recorded.

    Args:
        sha256: Checksum of the file; of shards, of their checksums.
        layout: Naming scheme of its tensors.
        head: Head that the model computes with them.
        wrapper: Entry of the file that held the weights, or "".
        prefix: Prefix of the network's names in the file, or "".
        dtype: Dtypes of the tensors in the file.
        tensors: Number of tensors that were loaded.
        parameters: Number of parameters that were loaded.
        unused_tensors: Names of head, neck or norm tensors that the model has no place for.
        ignored_tensors: Names of tensors outside of the network, such as a detector's neck.
        assumed: Fields of the config that nothing in the file could tell, and their values.
        batch_count: Number of training batches that PyTorch's batch norms counted.
    """

    sha256: str | None = None
    layout: str | None = None
    head: str | None = None
    wrapper: str = ""
    prefix: str = ""
    dtype: str | None = None
    tensors: int | None = None
    parameters: int | None = None
    unused_tensors: tuple[str, ...] = ()
    ignored_tensors: tuple[str, ...] = ()
    assumed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    batch_count: int | None = None

    def without_assumptions(self, fields: Collection[str]) -> Self:
        """Returns a copy that assumes nothing about some fields of the config."""
        assumed = {name: value for name, value in self.assumed.items() if name not in fields}
        return dataclasses.replace(self, assumed=assumed)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Training in Keras that changed the weights after they were made or loaded.

    Args:
        base_model: Name of the model that training started from, or "".
        init: Provenance of that model, without its own ancestors, or None.
        seed: Seed of the run, or None if not recorded.
        step: Number of steps, or None if not recorded.
    """

    base_model: str = ""
    init: "Provenance | None" = None
    seed: int | None = None
    step: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Provenance(Mapping[str, Any]):
    """Where a model's weights come from.

    It is also a read-only mapping of the flat fields that its JSON has, such as
    `provenance["sha256"]`, `provenance["new_tensors"]` and `provenance.get("base_model")`;
    `dict(provenance)` is that JSON. Fields that are not known are absent, so that a model of
    unknown origin has an empty, and false, provenance.

    Args:
        source: What the weights are from, as the user gave it, or None.
        version: Version of this package that loaded or trained them, or None.
        transform: How images are prepared for them, or None.
        weights: The checkpoint that they were loaded from, or None.
        new_tensors: Variables with fresh values, which the source had no values for.
        adapted_tensors: Variables made to fit another number of image channels.
        training: The training that followed, or None.
        hf_unused: Fields of transformers' config.json that are written back unchanged.
        extra: Fields of other versions of this package, kept as they are.
    """

    source: str | None = None
    version: str | None = None
    transform: ImageTransform | None = None
    weights: WeightsFile | None = None
    new_tensors: tuple[str, ...] = ()
    adapted_tensors: tuple[str, ...] = ()
    training: TrainingRun | None = None
    hf_unused: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of_source(cls, name: str, transform: ImageTransform) -> Self:
        """Returns the provenance of what this version loads from a source.

        Args:
            name: What the source is called.
            transform: How images are prepared for its weights.
        """
        return cls(source=name, version=__version__, transform=transform)

    @classmethod
    def of(cls, value: "Provenance | Mapping[str, Any] | None", name: str = "a model") -> Self:
        """Returns the provenance that a value stands for.

        Args:
            value: A `Provenance`, the flat fields of one, or None for an unknown origin.
            name: What errors call the file or model that holds it.

        Raises:
            InputError: A field has the wrong type or is too long, or a field is missing that
                another one needs.
        """
        if isinstance(value, cls):
            return value
        return cls(**_typed(checked_fields(value, name), name))

    def replace(self, **parts: Any) -> Self:
        """Returns a copy with some parts replaced."""
        return dataclasses.replace(self, **parts)

    def to_json(self) -> dict[str, Any] | None:
        """Returns what files hold: the flat fields and their format; None if nothing is known."""
        return {"format": FORMAT, **self} if self else None

    def __getitem__(self, name: str) -> Any:
        return self._flat()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat())

    def __len__(self) -> int:
        return len(self._flat())

    def _flat(self) -> dict[str, Any]:
        loaded = self.weights is not None and self.weights.tensors is not None
        flat = {
            "source": self.source,
            "keras_poolformer": self.version,
            "transform": self.transform.to_dict() if self.transform else None,
            "adapted_tensors": list(self.adapted_tensors) or None,
            "new_tensors": list(self.new_tensors) if loaded or self.new_tensors else None,
            "hf_unused": dict(self.hf_unused) or None,
            **_flat_weights(self.weights),
            **_flat_training(self.training),
            **self.extra,
        }
        return {name: value for name, value in flat.items() if value is not None}


def _flat_weights(weights: WeightsFile | None) -> dict[str, Any]:
    """All fields of a checkpoint that was loaded; else those that are known."""
    if weights is None:
        return {}
    values = {name: _json(value) for name, value in vars(weights).items()}
    if weights.tensors is not None:
        return values
    return {name: value for name, value in values.items() if value not in (*_EMPTY, [])}


def _flat_training(training: TrainingRun | None) -> dict[str, Any]:
    if training is None:
        return {}
    return {
        "trained": True,
        "base_model": training.base_model or None,
        "init": None if training.init is None else dict(training.init),
        "seed": training.seed,
        "step": training.step,
    }


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_OWN_FIELDS = {
    "source": "source",
    "keras_poolformer": "version",
    "new_tensors": "new_tensors",
    "adapted_tensors": "adapted_tensors",
    "hf_unused": "hf_unused",
}
_WEIGHTS_FIELDS = tuple(part.name for part in dataclasses.fields(WeightsFile))
_TRAINING_FIELDS = ("trained", *(part.name for part in dataclasses.fields(TrainingRun)))


def _typed(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments of a `Provenance` that flat fields stand for."""
    flat = _in_order({key: value for key, value in fields.items() if value is not None})
    flat.pop("format", None)
    parts: dict[str, Any] = {
        part: _tuple(flat.pop(key)) for key, part in _OWN_FIELDS.items() if key in flat
    }
    transform = flat.pop("transform", None)
    if transform:
        parts["transform"] = _transform(transform, name)
    weights = {key: _tuple(flat.pop(key)) for key in _WEIGHTS_FIELDS if key in flat}
    if weights:
        parts["weights"] = WeightsFile(**weights)
    training = {key: flat.pop(key) for key in _TRAINING_FIELDS if key in flat}
    if training.pop("trained", False) or training:
        parts["training"] = _training(training, name)
    return {**parts, "extra": flat}


def _in_order(flat: dict[str, Any]) -> dict[str, Any]:
    """Moves to `init` what files without "trained" say of a trained model's base model."""
    if flat.get("trained") or "step" not in flat:
        return flat
    moved = {*_WEIGHTS_FIELDS, "new_tensors", "adapted_tensors"}
    init = {key: value for key, value in flat.items() if key in moved}
    rest = {key: value for key, value in flat.items() if key not in moved}
    name = rest.pop("init", None)
    base = {"base_model": name, "init": init} if isinstance(name, str) and name else {}
    return {**rest, **base, "trained": True}


def _training(fields: dict[str, Any], name: str) -> TrainingRun:
    init = fields.pop("init", None)
    if isinstance(init, str):  # as earlier versions name it
        return TrainingRun(**{"base_model": init, **fields})
    return TrainingRun(init=Provenance(**_typed(init, name)) if init else None, **fields)


def _transform(options: dict[str, Any], name: str) -> ImageTransform:
    try:
        return ImageTransform.from_dict(options)
    except InputError as error:
        raise InputError(f"{name}: `transform` of its provenance: {error}") from None


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
