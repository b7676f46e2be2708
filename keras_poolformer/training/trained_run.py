"""What a training returns in Python: its figures, its history, its curve and its model."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import PIL.Image as Image

from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.opening import load_model
from keras_poolformer.training.curve import curve_png
from keras_poolformer.training.results import TrainingResult
from keras_poolformer.training.tables import LOG, STEP_FIELDS, read_evaluations, read_table


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun(TrainingResult):
    """How a training ended, and what it left in its folder.

    Args:
        workdir: Folder of the run.
        unfinished_model: Function that returns the model of a run that was stopped before its
            end; None for one that has ended, whose model is in the folder.
    """

    workdir: Path
    unfinished_model: Callable[[], MetaFormerModel] | None = field(default=None, repr=False)

    @cached_property
    def model(self) -> MetaFormerModel:
        """The model after the last step, with averaged weights if the recipe has `ema_decay`.

        That of WORKDIR/model.keras; of a run that was stopped, the model as it is.
        """
        if self.unfinished_model is not None:
            return self.unfinished_model()
        return load_model(str(self.workdir))

    @property
    def history(self) -> dict[str, list[float | None]]:
        """The figures of each step, since the run began: columns of log.csv.

        {"step": [1, 2, ...], "loss": [...], "accuracy": [...], "learning_rate": [...]}, where an
        accuracy is from 0 to 1.
        """
        return _columns(read_table(self.workdir / LOG, STEP_FIELDS))

    @property
    def evaluations(self) -> dict[str, list[float | None]]:
        """The figures of each evaluation: columns of evaluations.csv, of which {} has none.

        {"step": [...], "epoch": [...], "loss": [...], "top1": [...], "top5": [...]}, percentages;
        of a segmenter "mean_iou", "mean_accuracy" and "pixel_accuracy".
        """
        return _columns(read_evaluations(self.workdir))

    @property
    def curve(self) -> Image.Image:
        """A plot of losses and accuracies over the steps, which a notebook shows."""
        return Image.open(io.BytesIO(curve_png(self.workdir)))


def _columns(rows: Sequence[dict[str, float | None]]) -> dict[str, list[float | None]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
