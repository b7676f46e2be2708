"""Models in .keras files, also inside a preset folder, a training run or a hub repository."""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.sources.huggingface import Snapshot
from keras_poolformer.sources.keras_archive import (
    KerasArchive,
    Stamp,
    describe_keras_file,
    read_keras_archive,
    stamp_of,
)
from keras_poolformer.sources.keras_weights import ArchivedWeights
from keras_poolformer.sources.preset_folder import DESCRIPTION, WEIGHTS, read_description
from keras_poolformer.sources.source import Contents, Progress, Source
from keras_poolformer.sources.source_folders import check_described_size
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.regular_files import open_regular


@dataclass(frozen=True, kw_only=True)
class KerasSource(Source):
    """A .keras file.

    Args:
        config: Architecture of its model.
        archive: Description inside the file, or None where the file is not there yet.
    """

    config: MetaFormerConfig
    archive: KerasArchive | None = None

    @classmethod
    def of_file(cls, name: str, path: Path) -> Self:
        """Returns the source of a .keras file."""
        archive = read_keras_archive(path)
        transform = archive.provenance.transform
        return cls(
            name=name, weights=path, config=archive.config, transform=transform, archive=archive
        )

    @classmethod
    def of_preset_folder(cls, name: str, folder: Path) -> Self:
        """Returns the source of a folder that `save_to_preset` or `card` wrote.

        Raises:
            InputError: A file is missing or corrupt, or the two do not belong together.
        """
        weights = folder / WEIGHTS
        config, transform = read_description(folder)
        archive = read_keras_archive(weights)
        if config != archive.config:
            raise InputError(
                f"{folder / DESCRIPTION} must describe the model in {WEIGHTS} beside it. "
                f"Received: another config; to change a model, load and save it"
            )
        return cls(name=name, weights=weights, config=config, transform=transform, archive=archive)

    @classmethod
    def of_snapshot(cls, name: str, snapshot: Snapshot) -> Self:
        """Returns the source of a hub repository that `card` wrote."""
        config, transform = read_description(snapshot.folder)
        return cls(
            name=name,
            weights=snapshot.folder / WEIGHTS,
            config=config,
            transform=transform,
            snapshot=snapshot,
        )

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
        if layout or not use_ema:
            option = "--layout" if layout else "--no-ema"
            raise InputError(f"{self.name}: {option} applies to PyTorch checkpoints only")
        recorded = self.fetch()
        expected = sha256 or recorded
        with open_regular(self.weights) as file:
            stamp = stamp_of(file)
            data = file.read() if expected else None
            if data is not None:
                self._check_sha256(hashlib.sha256(data).hexdigest(), expected)
            archive = self._described(file if data is None else io.BytesIO(data), stamp)
        check_described_size(self.weights, archive.config, self.name)
        contents = Contents(
            config=archive.config,
            provenance=self._provenance(archive.config),
            is_backbone=archive.is_backbone,
        )
        if not weights:
            return contents
        saved = ArchivedWeights(name=self.name, path=self.weights, description=archive, data=data)
        provenance = archive.provenance
        if self.transform:
            provenance = provenance.replace(transform=self.transform)
        return replace(contents, provenance=provenance, saved=saved)

    def _described(self, file: BinaryIO, stamp: Stamp) -> KerasArchive:
        """The description of the opened file, which is read once unless the file changed."""
        if self.archive and self.archive.stamp == stamp:
            return self.archive
        archive = describe_keras_file(file, self.name, stamp)
        if archive.config != self.config:
            raise InputError(
                f"{self.name} does not hold the model that was described: save or download it again"
            )
        return archive
