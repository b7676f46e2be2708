"""The figures of a run: of one evaluation, and at its end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """The figures of the evaluation split.

    Args:
        loss: Mean cross-entropy.
        top1: Percentage of images whose class has the highest score.
        top5: Percentage of images whose class is among the five highest scores; None where there
            are fewer than five classes.
    """

    loss: float
    top1: float
    top5: float | None = None

    def to_dict(self) -> dict[str, float]:
        """Returns the figures by name, without those that are None."""
        figures = {"loss": self.loss, "top1": self.top1}
        return figures if self.top5 is None else figures | {"top5": self.top5}


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Args:
        step: Number of steps that were taken.
        finished: Whether the run is at its end; else the same command resumes it.
        stopped_early: Whether it ended because `patience` was exhausted.
        best_top1: Best top-1 of all evaluations, in percent; None without an evaluation split.
        evaluation: Last evaluation; None without one, and on workers that do not write.
    """

    step: int
    finished: bool
    stopped_early: bool = False
    best_top1: float | None = None
    evaluation: Evaluation | None = None

    def to_dict(self) -> dict[str, int | float | bool]:
        """Returns what `result.json` holds: only what there is."""
        result: dict[str, int | float | bool] = {"step": self.step, "finished": self.finished}
        if self.stopped_early:
            result["stopped_early"] = True
        if self.best_top1 is not None:
            result["best_top1"] = self.best_top1
        return result | (self.evaluation.to_dict() if self.evaluation else {})
