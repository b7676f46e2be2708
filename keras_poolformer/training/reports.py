"""What a run leaves to read and to look at: CSV, TensorBoard, a curve, a progress bar."""

import csv
import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

STEP_FIELDS = ("step", "loss", "accuracy", "learning_rate")
EVALUATION_FIELDS = ("step", "epoch", "loss", "top1", "top5")
LOG, EVALUATIONS, CURVE = "log.csv", "evaluations.csv", "curve.png"


class Table:
    """A CSV file that grows by rows; what is in it depends on nothing but the training.

    Args:
        path: of the file; rows of an earlier process are kept.
        fields: names of the columns, the first of which is the step.
        last_step: rows after it are dropped: they will be written again.
    """

    def __init__(self, path, fields, last_step):
        self._fields = fields
        rows = [row for row in read_table(path) if int(row["step"]) <= last_step]
        temporary = path.with_name(f".{path.name}")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fields, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)
        self._path = path

    def append(self, rows):
        """Adds rows: sequences of numbers, which come back exactly as float32."""
        text = "".join(",".join(map(_number, row)) + "\n" for row in rows)
        with self._path.open("a") as file:
            file.write(text)


def _number(value):
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def read_table(path):
    """Rows of a `Table`'s file as dictionaries of texts; a last line cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def last_evaluation(workdir):
    """Returns the figures of the last row of WORKDIR's evaluations: {"loss", "top1", ...}.

    Empty where there is no row: the folder is a new one, and the checkpoints lie elsewhere.
    """
    rows = read_table(Path(workdir) / EVALUATIONS)
    if not rows:
        return {}
    return {name: float(rows[-1][name]) for name in EVALUATION_FIELDS[2:] if rows[-1][name]}


class Reports:
    """All reports of one run; writes nothing where this process is not the chief.

    Args:
        workdir: where they lie.
        total_steps: of the run.
        start_step: that the run goes on from.
        batch_size: images in a step.
        chief: whether this process writes.
    """

    def __init__(self, workdir, total_steps, start_step, batch_size, chief=True):
        self._chief = chief
        self._batch_size = batch_size
        self._top1 = None
        self._bar = tqdm(
            total=total_steps,
            initial=start_step,
            desc="training",
            unit="step",
            disable=not chief,
            file=sys.stderr,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            dynamic_ncols=True,
        )
        if chief:
            workdir = Path(workdir)
            self._steps = Table(workdir / LOG, STEP_FIELDS, start_step)
            self._evaluations = Table(workdir / EVALUATIONS, EVALUATION_FIELDS, start_step)
            self._board = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def steps(self, rows):
        """Reports steps: (step, loss, accuracy, learning rate) each."""
        if not self._chief:
            return
        self._steps.append(rows)
        with self._board.as_default():
            for step, *values in rows:
                for name, value in zip(STEP_FIELDS[1:], values, strict=True):
                    tf.summary.scalar(f"train/{name}", value, step)
        shown = {"loss": f"{rows[-1][1]:.3f}", "accuracy": f"{rows[-1][2]:.1%}"}
        if self._top1 is not None:
            shown["top-1"] = f"{self._top1:.2f} %"
        self._bar.set_postfix(shown | {"images/s": self._rate()}, refresh=False)
        self._bar.update(len(rows))

    def _rate(self):
        rate = self._bar.format_dict.get("rate")
        elapsed = self._bar.format_dict["elapsed"]
        done = self._bar.n - self._bar.initial
        rate = rate or (done / elapsed if elapsed else 0)
        return f"{rate * self._batch_size:.0f}"

    def evaluation(self, step, epoch, result):
        """Reports an evaluation."""
        self._top1 = result["top1"]
        if not self._chief:
            return
        values = [result.get(name, "") for name in EVALUATION_FIELDS[2:]]
        self._evaluations.append([(step, epoch, *values)])
        with self._board.as_default():
            for name, value in result.items():
                tf.summary.scalar(f"evaluation/{name}", value, step)

    def warning(self, text):
        """Prints a line of warning beside the progress bar."""
        if self._chief:
            self._bar.write(f"keras-poolformer train: warning: {text}", file=sys.stderr)

    def close(self):
        """Ends the bar and writes what is left."""
        self._bar.close()
        if self._chief:
            self._board.close()


def draw_curve(workdir):
    """Draws losses and accuracies over the steps into WORKDIR/curve.png; returns its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    workdir = Path(workdir)
    steps, evaluations = read_table(workdir / LOG), read_table(workdir / EVALUATIONS)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes, name, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        values = [scale * float(row[name]) for row in steps]
        _line(axes, [int(row["step"]) for row in steps], values, "training")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    numbers = [int(row["step"]) for row in evaluations]
    for axes, name in ((left, "loss"), (right, "top1")):
        values = [float(row[name]) for row in evaluations]
        if values:
            axes.plot(numbers, values, "o-", color="tab:orange", markersize=3, label="evaluation")
        axes.legend()
    left.set_ylabel("loss")
    right.set_ylabel("top-1, %")
    path = workdir / CURVE
    figure.savefig(path, dpi=120)
    return path


def _line(axes, steps, values, label):
    """The values, and over them their running mean, which an eye can follow."""
    axes.plot(steps, values, color="tab:blue", alpha=0.25, linewidth=0.7)
    window = max(len(values) // 100, 1)
    means = [
        sum(values[max(0, i - window + 1) : i + 1]) / (i + 1 - max(0, i - window + 1))
        for i in range(len(values))
    ]
    axes.plot(steps, means, color="tab:blue", label=label)
