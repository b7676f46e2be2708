"""Measures a model in one call, as `keras-poolformer evaluate` does."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from keras_poolformer.data.splits.in_memory import ImageData, name_of
from keras_poolformer.data.splits.opening import open_labeled
from keras_poolformer.evaluation.classification import BATCH_SIZE
from keras_poolformer.evaluation.measurement import Measurement
from keras_poolformer.evaluation.measuring import measure
from keras_poolformer.evaluation.opening import Network, keras_network, open_network
from keras_poolformer.evaluation.report import REPORT
from keras_poolformer.models.overrides import Size
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.progress import Progress, print_note

if TYPE_CHECKING:
    from keras_poolformer.models.base import MetaFormerModel

ModelSource: TypeAlias = "str | os.PathLike[str] | MetaFormerModel"
_SHOWN_BROKEN = 5  # names of images


def evaluate(
    source: ModelSource,
    data: ImageData,
    *,
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    size: Size | None = None,
    labels: str | Path | None = None,
    tiles: bool = False,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    skip_broken: bool = False,
    reduce_zero_label: bool = False,
    report: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> Measurement:
    """Measures a classifier on images with a class each, or a segmenter on images with masks.

    Args:
        source: Preset, checkpoint, .tflite file, SavedModel or folder of a training run; or a
            model of this package.
        data: Images to measure on, all that `keras_poolformer.train` takes.
        split: Name of the split; by default val, validation or test of folders, validation of
            records, test or validation of tfds.
        data_dir: Folder of tfds data sets; None for tfds' own.
        class_names: Class names of images in memory, in the order of their labels; None if the
            labels are the model's numbers.
        size: Side of the images in pixels, or (height, width), instead of the source's.
        labels: Text file of class names, one a line, instead of the source's.
        tiles: Whether a segmenter's .tflite file works through images in overlapping tiles.
        limit: Number of images at most, evenly spread; None for all.
        batch_size: Number of images that a classifier takes at once.
        skip_broken: Whether images that cannot be read are skipped and counted.
        reduce_zero_label: Whether 0 stands for no class in masks, and classes count from 1.
        report: Folder to write a report to: figures of each class, confusion matrix with a
            picture, mistakes; of a segmenter pictures of the worst images.
        overwrite: Whether an existing report may be replaced.
        verbose: Whether progress and notes are printed on stderr.

    Returns:
        The figures in percent: `to_dict()` has top-1 and top-5, or mIoU, mAcc and pixel accuracy,
        and `class_figures()` those of each class.

    Raises:
        InputError: The model or the images cannot be used or do not fit each other, an image
            cannot be read, or the report cannot be written.
        MissingExtraError: A package is not installed.
    """
    if report is not None:
        refuse_existing(report, overwrite, REPORT)
    images = EvaluationData(
        data=data,
        split=split,
        data_dir=data_dir,
        class_names=class_names,
        limit=limit,
        batch_size=batch_size,
        skip_broken=skip_broken,
        reduce_zero_label=reduce_zero_label,
    )
    progress = Progress([f"loading {name_of_model(source)}", images.step], shown=verbose)
    measured = images.measure(source, progress, size, labels, tiles, verbose)
    progress.finish()
    if report is not None:
        with replacing(report, overwrite, REPORT) as folder:
            folder.mkdir()
            measured.write_report(folder)
    if verbose:
        _print_notes(measured)
    return measured


def name_of_model(source: ModelSource) -> str:
    """Returns the name of a model for progress: its path, preset or address, if it has one."""
    return str(source) if isinstance(source, str | os.PathLike) else "the model"


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """Images to measure models on. The arguments are those of `evaluate`.

    Raises:
        InputError: `limit` or `batch_size` is not at least 1.
    """

    data: ImageData
    split: str | None = None
    data_dir: str | os.PathLike[str] | None = None
    class_names: Sequence[str] | None = None
    limit: int | None = None
    batch_size: int = BATCH_SIZE
    skip_broken: bool = False
    reduce_zero_label: bool = False

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise InputError(f"`{name}` must be at least 1. Received: {value}")

    @property
    def step(self) -> str:
        """What measuring on them is called in a progress."""
        return f"measuring on the images of {name_of(self.data)}"

    def measure(
        self,
        source: ModelSource,
        progress: Progress,
        size: Size | None = None,
        labels: str | Path | None = None,
        tiles: bool = False,
        verbose: bool = True,
    ) -> Measurement:
        """Measures one model. The other arguments are those of `evaluate`.

        Args:
            source: The model.
            progress: Progress, two steps of which are begun.
            size: As in `evaluate`.
            labels: As in `evaluate`.
            tiles: As in `evaluate`.
            verbose: As in `evaluate`.
        """
        images = open_labeled(
            self.data,
            self.split,
            self.data_dir,
            print_note if verbose else None,
            self.reduce_zero_label,
            self.class_names,
        )
        progress.start()
        network = _network(source, size, labels, tiles)
        progress.start()
        return measure(
            network, images, self.limit, self.batch_size, self.skip_broken, progress.advance
        )


def _network(
    source: ModelSource, size: Size | None, labels: str | Path | None, tiles: bool
) -> Network:
    if isinstance(source, str | os.PathLike):
        return open_network(source, os.cpu_count() or 1, size, labels, tiles)
    for name, value in (("size", size), ("labels", labels), ("tiles", tiles or None)):
        if value is not None:
            raise InputError(f"`{name}` goes with the path of a model. Received: a model")
    return keras_network("the model", source)


def _print_notes(measured: Measurement) -> None:
    if measured.note:
        print(measured.note, file=sys.stderr)
    if skipped := measured.skipped:
        more = f" and {len(skipped) - _SHOWN_BROKEN} more" if len(skipped) > _SHOWN_BROKEN else ""
        names = ", ".join(skipped[:_SHOWN_BROKEN])
        print(f"skipped {len(skipped)} broken images: {names}{more}", file=sys.stderr)
