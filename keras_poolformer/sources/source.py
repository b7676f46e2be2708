"""The flow of weights into the package: a `Source` says where they are, its `Contents` what.

    text -> resolve -> Source -> read -> Contents -> models.loading.build -> model

A source is found without reading weights. Reading it fetches, checks and names them once.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from keras_poolformer.checkpoints.transplant import NamedTensors
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources import downloads, huggingface
from keras_poolformer.sources.released import default_transform
from keras_poolformer.sources.saved import SavedWeights
from keras_poolformer.support.errors import InputError

Progress = Callable[[int, int], object]  # called with (bytes read, bytes in total)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A model as its source holds it.

    Args:
        config: Architecture of the network in the source.
        provenance: Where its weights come from.
        named: Tensors of a PyTorch checkpoint and their layout, or None.
        saved: Weights that Keras saved, or None. Without `named` and `saved`, weights were not
            asked for.
        is_backbone: Whether what Keras saved is a backbone.
        warnings: {field of the config: what is uncertain about it}. Whoever sets the field
            need not be warned.
    """

    config: MetaFormerConfig
    provenance: Provenance
    named: NamedTensors | None = None
    saved: SavedWeights | None = None
    is_backbone: bool = False
    warnings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def transform(self) -> ImageTransform:
        """How images are prepared for the model."""
        return self.provenance.transform or default_transform(self.config)


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Where weights are, and what is known about them before they are read.

    Args:
        name: Name, path or URI as the user gave it.
        weights: File or directory of the weights; before `fetch` it may not exist.
        transform: How images are prepared, or None if only the architecture tells.
        sha256: Checksum that the file must have, or None.
        sha256_start: First digits of it, where only they are known.
        download: Address of a released file, or None.
        snapshot: Snapshot of a hub repository, or None.
        description: One line for lists.
    """

    name: str
    weights: Path
    transform: ImageTransform | None = None
    sha256: str | None = None
    sha256_start: str = ""
    download: str | None = None
    snapshot: huggingface.Snapshot | None = None
    description: str = ""

    @abstractmethod
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
        """Reads the model, and downloads its weights unless they are there.

        Args:
            weights: Whether its weights are wanted. Without them nothing is downloaded or read
                if the architecture is known.
            progress: Function called with (bytes read, bytes in total), or None.
            layout: Layout of a PyTorch checkpoint; by default inferred from the tensors' names.
            use_ema: Whether averaged weights are preferred where a checkpoint has both.
            sha256: Checksum that the file must have; by default the source's own, if any.
            token_mixers: Token mixers of a PyTorch checkpoint, as in `MetaFormerConfig`, where its
                tensors fit several networks and the source does not tell.

        Raises:
            InputError: The weights cannot be downloaded or read, are corrupt, or do not fit
                what is known about them.
        """

    @property
    def downloaded(self) -> Path | None:
        """File or folder with the downloaded weights, which is safe to delete; None if local."""
        if self.snapshot:
            return self.snapshot.cache
        return self.weights if self.download else None

    def replace(self, **fields: Any) -> Self:
        """Returns a copy with some fields replaced."""
        return dataclasses.replace(self, **fields)

    def fetch(self) -> str | None:
        """Downloads the weights unless they are there; shows progress on stderr.

        Returns:
            The checksum that they must have, or None if that is not known.

        Raises:
            InputError: They cannot be downloaded; the message says how to do it by hand.
            MissingExtraError: A package that downloads is not installed.
        """
        if self.snapshot:
            return huggingface.fetch_weights(self.snapshot)
        if not self.download:
            return self.sha256
        if self.weights.parts[0] == "~":
            remedy = "set KERAS_HOME to a folder"
            raise downloads.unavailable(self.download, downloads.NO_HOME, remedy)
        downloads.download(self.download, self.weights)
        return downloads.recorded_sha256(self.weights)

    def _check_sha256(self, received: str, expected: str | None) -> None:
        wrong = expected if expected and received != expected.lower() else None
        if not received.startswith(self.sha256_start):
            wrong = f"that begins with {self.sha256_start}"
        if wrong:
            place = self.downloaded
            remedy = f"; to download it again, delete {place}" if place else ""
            raise InputError(
                f"{self.weights}: checksum mismatch: expected the sha256 {wrong}. Received: "
                f"{received}; the file is corrupt or a different one{remedy}"
            )
        if self.download and not expected:
            downloads.record_sha256(self.weights, received)

    def _provenance(self, config: MetaFormerConfig) -> Provenance:
        """The origin of weights that are loaded from here."""
        is_path = Path(self.name) in (self.weights, self.weights.parent)
        return Provenance.of_source(
            self.weights.name if is_path else self.name,
            self.transform or default_transform(config),
        )
