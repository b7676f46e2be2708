"""The figures of a run: of one evaluation, and at its end."""

from dataclasses import asdict, dataclass

from keras_poolformer.config import MetaFormerConfig

# What people call the figures of an evaluation, in the order of the columns of evaluations.csv.
FIGURE_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_iou": "mIoU",
    "mean_accuracy": "mAcc",
    "pixel_accuracy": "pixel accuracy",
}
CLASSIFICATION_SCORE, SEGMENTATION_SCORE = "top1", "mean_iou"  # which chooses the best step


def score_name(config: MetaFormerConfig) -> str:
    """Returns the name of the figure that chooses the best step of a model's training.

    Args:
        config: Architecture of the model.
    """
    return SEGMENTATION_SCORE if config.is_segmenter else CLASSIFICATION_SCORE


@dataclass(frozen=True)
class Evaluation:
    """The figures of the evaluation split, in percent; those of another task are None.

    Args:
        loss: Mean cross-entropy.
        top1: Percentage of images whose class has the highest score.
        top5: Percentage of images whose class is among the five highest scores; None where there
            are fewer than five classes.
        mean_iou: Mean over the classes of intersection over union (mIoU).
        mean_accuracy: Mean over the classes of the percentage of pixels that are right (mAcc).
        pixel_accuracy: Percentage of all pixels that are right.
    """

    loss: float
    top1: float | None = None
    top5: float | None = None
    mean_iou: float | None = None
    mean_accuracy: float | None = None
    pixel_accuracy: float | None = None

    def to_dict(self) -> dict[str, float]:
        """Returns the figures by name, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Args:
        step: Number of steps that were taken.
        finished: Whether the run is at its end; else the same command resumes it.
        stopped_early: Whether it ended because `patience` was exhausted.
        best_top1: Best top-1 of all evaluations, in percent; None without an evaluation split.
        best_mean_iou: Best mIoU likewise, of a segmenter.
        evaluation: Last evaluation; None without one, and on workers that do not write.
    """

    step: int
    finished: bool
    stopped_early: bool = False
    best_top1: float | None = None
    best_mean_iou: float | None = None
    evaluation: Evaluation | None = None

    def to_dict(self) -> dict[str, int | float | bool]:
        """Returns what `result.json` holds: only what there is."""
        result: dict[str, int | float | bool] = {"step": self.step, "finished": self.finished}
        if self.stopped_early:
            result["stopped_early"] = True
        for name in ("best_top1", "best_mean_iou"):
            if getattr(self, name) is not None:
                result[name] = getattr(self, name)
        return result | (self.evaluation.to_dict() if self.evaluation else {})
