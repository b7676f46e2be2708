"""PyTorch checkpoints: files, directories as timm and transformers write them, released weights."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_poolformer.checkpoints import assumptions
from keras_poolformer.checkpoints.architecture import infer_config
from keras_poolformer.checkpoints.checkpoint import Checkpoint, read_checkpoint
from keras_poolformer.checkpoints.tensors import expected_tensors
from keras_poolformer.checkpoints.transplant import NamedTensors, name_tensors
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.released import default_labels, has_ade20k_classes
from keras_poolformer.sources.segmenters import ade20k_palette
from keras_poolformer.sources.source import Contents, Progress, Source
from keras_poolformer.sources.source_folders import check_described_size
from keras_poolformer.support.errors import InputError

MOST_DESCRIBED = 4  # times as many weights as the file holds


@dataclass(frozen=True, kw_only=True)
class TorchSource(Source):
    """A PyTorch checkpoint.

    Args:
        config: Known fields of `MetaFormerConfig`; the shapes of the tensors tell the others.
        architecture: Further fields, which count only as long as the weights are not there.
        hf_unused: Fields of transformers' config.json that are written back unchanged.
    """

    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    architecture: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hf_unused: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def read(
        self,
        *,
        weights: bool = True,
        progress: Progress | None = None,
        layout: str | None = None,
        use_ema: bool = True,
        sha256: str | None = None,
        token_mixers: Any = None,
    ) -> Contents:
        """Reads the model; see `Source.read`."""
        if not weights and (config := self._described_config()):
            check_described_size(self.weights, config, self.name)
            provenance = self._provenance(config)
            return Contents(config=config, provenance=provenance)
        recorded = self.fetch()
        expected = sha256 or recorded
        checkpoint = read_checkpoint(self.weights, use_ema=use_ema, progress=progress)
        self._check_sha256(checkpoint.sha256, expected)
        named = name_tensors(checkpoint, layout)
        hints = {} if self.config else assumptions.name_hints(self.weights, checkpoint)
        hinted: dict[str, Any] = {name: value for name, (value, _) in hints.items()}
        if token_mixers is not None:
            hinted["token_mixers"] = token_mixers
            hints.pop("token_mixers", None)
        config = self._config_of(named, hinted, checkpoint)
        provenance = self._provenance(config)
        if weights:
            named = self._with_assumptions(named, config)
            provenance = provenance.replace(weights=named.file)
        return Contents(
            config=config,
            provenance=provenance,
            named=named if weights else None,
            warnings={name: f"{self.name}: {reason}" for name, (_, reason) in hints.items()},
        )

    def _with_assumptions(self, named: NamedTensors, config: MetaFormerConfig) -> NamedTensors:
        """The tensors, with the fields of the config that neither they nor the source tell."""
        if self.config:  # a preset, or a config.json of a class that has only one form
            return named
        assumed = assumptions.assumed_fields(config)
        return replace(named, file=replace(named.file, assumed=assumed))

    def _provenance(self, config: MetaFormerConfig) -> Provenance:
        return super()._provenance(config).replace(hf_unused=self.hf_unused)

    def _described_config(self) -> MetaFormerConfig | None:
        """The architecture that is known without weights, or None if only they tell it.

        For weights that are there, their shapes take precedence over `architecture`.
        """
        fields = {**(self.architecture if self.snapshot else {}), **self.config}
        if not {"depths", "num_classes"} <= fields.keys():
            return None
        return _labeled(MetaFormerConfig(**fields))

    def _config_of(
        self, named: NamedTensors, hinted: Mapping[str, Any], checkpoint: Checkpoint
    ) -> MetaFormerConfig:
        """The architecture of tensors, of which the source may know some fields."""
        layout = named.layout
        shapes = {name: array.shape for name, array in named.tensors.items()}
        classifier = layout.classifier_name(shapes)
        missing = sorted({f"{classifier}.weight", f"{classifier}.bias"} - shapes.keys())
        if len(missing) == 1:
            raise InputError(f"{self.name} (layout {layout.name}) lacks {missing[0]}")
        known = {**self.config, **hinted}
        num_labels = None
        if not self.download:  # the shape of the classifier decides; a backbone has none
            num_labels = known.pop("num_classes", None)
            if missing:
                known["labels"] = None
        config = infer_config(shapes, layout, known, checkpoint.architecture)
        if num_labels not in (None, config.num_classes) and not missing:
            raise InputError(
                f"{self.name}: config.json and weights must have as many classes. Received: "
                f"num_labels={num_labels}, {config.num_classes} in {classifier}"
            )
        self._check_size(config, named)
        return _labeled(_described(config, checkpoint))

    def _check_size(self, config: MetaFormerConfig, named: NamedTensors) -> None:
        """Rejects a hostile description before a model of its size costs memory."""
        table = expected_tensors(config, named.layout)
        described = sum(math.prod(tensor.shape) for tensor in table if not tensor.is_head)
        stored = sum(array.size for array in named.tensors.values())
        if described > MOST_DESCRIBED * stored:
            raise InputError(f"{self.name} describes {described:,} weights but holds {stored:,}")


def _described(config: MetaFormerConfig, checkpoint: Checkpoint) -> MetaFormerConfig:
    """The config, with the names and colors of classes that the file states, if they fit."""
    for name in ("labels", "palette"):
        stated = getattr(checkpoint, name)
        if stated is not None and getattr(config, name) is None:
            with contextlib.suppress(InputError):  # of another data set, or not in plain lists
                config = config.replace(**{name: stated})
    return config


def _labeled(config: MetaFormerConfig) -> MetaFormerConfig:
    """The config, with the class names that its architecture implies if it has none."""
    labels = None if config.labels else default_labels(config)
    if labels is None:
        return config
    palette = config.palette or (ade20k_palette() if has_ade20k_classes(config) else None)
    return config.replace(labels=labels, palette=palette)
