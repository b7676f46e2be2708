"""Draws the losses and accuracies of a run."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_poolformer.images.drawing import BLUE, ORANGE, plot_style
from keras_poolformer.training.results import CLASSIFICATION_SCORE, SEGMENTATION_SCORE
from keras_poolformer.training.tables import LOG, STEP_FIELDS, read_evaluations, read_table

CURVE = "curve.png"


def draw_curve(workdir: str | Path) -> Path:
    """Draws losses and accuracies over the steps into WORKDIR/curve.png; returns its path."""
    path = Path(workdir) / CURVE
    path.write_bytes(curve_png(workdir))
    return path


def curve_png(workdir: str | Path) -> bytes:
    """Draws losses and accuracies over the steps; returns the content of a PNG file."""
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context(plot_style()):
        _draw(Path(workdir)).savefig(content)
    return content.getvalue()


def _draw(workdir: Path) -> Any:
    """The figure, in the style that is set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps: list[dict[str, Any]] = read_table(workdir / LOG, STEP_FIELDS)
    evaluations: list[dict[str, Any]] = read_evaluations(workdir)
    is_segmenter = bool(evaluations) and SEGMENTATION_SCORE in evaluations[0]
    score = SEGMENTATION_SCORE if is_segmenter else CLASSIFICATION_SCORE
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes, name, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        values = [scale * row[name] for row in steps]
        _line(axes, [row["step"] for row in steps], values, "training")
        axes.set_xlabel("step")
    numbers = [row["step"] for row in evaluations]
    for axes, name in ((left, "loss"), (right, score)):
        values = [row[name] for row in evaluations]
        if values:
            axes.plot(numbers, values, "o-", color=ORANGE, markersize=3, label="evaluation")
        axes.legend()
    left.set_ylabel("loss")
    right.set_ylabel("mIoU; pixels, %" if is_segmenter else "top-1, %")
    return figure


def _line(axes: Any, steps: Sequence[float], values: Sequence[float], label: str) -> None:
    """Draws the values, and their running mean over them."""
    axes.plot(steps, values, color=BLUE, alpha=0.25, linewidth=0.7)
    window = max(len(values) // 100, 1)
    means = [
        sum(values[max(0, i - window + 1) : i + 1]) / (i + 1 - max(0, i - window + 1))
        for i in range(len(values))
    ]
    axes.plot(steps, means, color=BLUE, label=label)
