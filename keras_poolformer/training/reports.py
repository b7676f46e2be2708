"""Reports a run while it trains: CSV files, TensorBoard, callbacks, progress, a line an epoch."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.progress_bars import progress_bar
from keras_poolformer.training.events import cut_events
from keras_poolformer.training.results import CLASSIFICATION_SCORE, FIGURE_NAMES, Evaluation
from keras_poolformer.training.tables import (
    EVALUATION_FIELDS,
    EVALUATIONS,
    LOG,
    STEP_FIELDS,
    Table,
)

# Called with figures by name, as TensorBoard has them, and the step that they are of.
Callback: TypeAlias = Callable[[dict[str, float], int], Any]
TENSORBOARD = "tensorboard"
_SILENT_SECONDS = 60  # between two lines where there is no terminal for a progress bar


class Reports:
    """All reports of one run; writes nothing where this process is not the chief.

    Args:
        workdir: Folder to write to.
        total_steps: Last step of the run.
        start_step: Step that the run is resumed from.
        epochs: Number of epochs, for the lines on stderr.
        batch_size: Images in a step.
        score: Name of the figure that chooses the best step.
        chief: Whether this process writes.
        callbacks: Functions to call with the figures of each step and of each evaluation.
        verbose: Whether progress and a line an epoch are printed; warnings always are.

    Raises:
        InputError: A file cannot be written.
    """

    def __init__(
        self,
        workdir: str | Path,
        total_steps: int,
        start_step: int,
        epochs: int,
        batch_size: int,
        score: str = CLASSIFICATION_SCORE,
        chief: bool = True,
        callbacks: Sequence[Callback] = (),
        verbose: bool = True,
    ) -> None:
        self._chief, self._batch_size = chief, batch_size
        self._total_steps, self._epochs = total_steps, epochs
        self._score, self._last_score = score, ""
        self._callbacks, self._verbose = tuple(callbacks), chief and verbose
        self._bar = progress_bar("training", start_step, total_steps, "step", self._verbose)
        self.start_epoch(0)
        if chief:
            self._workdir = Path(workdir)
            self._steps = Table(self._workdir / LOG, STEP_FIELDS, start_step)
            self._fields = EVALUATION_FIELDS[score]
            self._evaluations = Table(self._workdir / EVALUATIONS, self._fields, start_step)
            with self._writing_board():
                cut_events(self._workdir / TENSORBOARD, start_step)
                self._board = tf.summary.create_file_writer(str(self._workdir / TENSORBOARD))

    def start_epoch(self, epoch: int) -> None:
        """Starts the means and the clock of an epoch, counted from 0."""
        self._epoch = epoch + 1
        self._sums, self._count = np.zeros(2), 0
        self._began = self._spoke = time.monotonic()
        self._seconds = 0.0

    def steps(self, rows: Sequence[Sequence[Any]]) -> None:
        """Reports steps: (step, loss, accuracy, learning rate) each."""
        if not self._chief:
            return
        silent = time.monotonic() - self._spoke
        if self._bar.disable and self._count and silent > _SILENT_SECONDS:
            self._say(rows[0][0] - 1)
        self._steps.append(rows)
        for step, *values in rows:
            self._scalars("train", dict(zip(STEP_FIELDS[1:], values, strict=True)), step)
        self._count += len(rows)
        self._sums += np.sum([row[1:3] for row in rows], axis=0)
        self._seconds = time.monotonic() - self._began
        shown = {"loss": f"{rows[-1][1]:.3f}", "accuracy": f"{rows[-1][2]:.1%}"}
        if self._last_score:
            shown[FIGURE_NAMES[self._score]] = self._last_score
        self._bar.set_postfix(shown | {"images/s": self._rate()}, refresh=False)
        self._bar.update(len(rows))
        self._learning_rate = rows[-1][3]

    def end_epoch(self, step: int, result: Evaluation | None = None) -> None:
        """Reports the end of an epoch and its evaluation, where there is one."""
        if result:
            self._last_score = f"{getattr(result, self._score):.2f} %"
        if not self._chief:
            return
        if result:
            figures = result.to_dict()
            values = [figures.get(name, "") for name in self._fields[2:]]
            self._evaluations.append([(step, self._epoch, *values)])
            self._scalars("evaluation", figures, step)
        with self._writing_board():
            self._board.flush()
        self._say(step, result)

    def _scalars(self, group: str, figures: Mapping[str, float], step: int) -> None:
        """Sends figures to TensorBoard and to the callbacks."""
        named = {f"{group}/{name}": value for name, value in figures.items()}
        with self._writing_board(), self._board.as_default():
            for name, value in named.items():
                tf.summary.scalar(name, value, step)
        for callback in self._callbacks:
            callback(dict(named), step)

    def warning(self, text: str) -> None:
        """Prints a warning above the progress bar."""
        if self._chief:
            self._bar.write(f"keras-poolformer train: warning: {text}", file=sys.stderr)

    def _say(self, step: int, result: Evaluation | None = None) -> None:
        """Prints one line on stderr: means over the epoch so far, and its evaluation."""
        self._spoke = time.monotonic()
        if not self._verbose:
            return
        parts = [f"epoch {self._epoch}/{self._epochs}", f"step {step}/{self._total_steps}"]
        if self._count:  # else the epoch was trained before the run was resumed
            loss, accuracy = self._sums / self._count
            parts += [f"loss {loss:.4f}", f"accuracy {accuracy:.1%}"]
        if result:
            parts.append(f"evaluation loss {result.loss:.4f}")
            parts.append(f"{FIGURE_NAMES[self._score]} {self._last_score}")
        if self._count:
            parts += [f"learning rate {self._learning_rate:.2e}", f"{self._rate()} images/s"]
        self._bar.write(", ".join(parts), file=sys.stderr)

    def _rate(self) -> str:
        images = self._count * self._batch_size
        return f"{images / self._seconds:.0f}" if self._seconds else "0"

    def close(self) -> None:
        """Closes the progress bar and the event file."""
        self._bar.close()
        if self._chief:
            with contextlib.suppress(tf.errors.OpError):  # another error may be being raised
                self._board.close()

    @contextlib.contextmanager
    def _writing_board(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            raise InputError(
                f"{self._workdir / TENSORBOARD} cannot be written: {one_line(error)}"
            ) from error
