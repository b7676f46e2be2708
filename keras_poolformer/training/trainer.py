"""The training loop: the same on one device, several, several machines, and TPUs.

Several steps run in one call of a `tf.function`, each a `strategy.run` of `TrainStep`. Whatever
is random is a function of (seed, step), so a run that goes on from a checkpoint is the run that
would have been.
"""

import json
import math
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.checkpoints.transplant import save_torch_weights
from keras_poolformer.data.pipeline import evaluation_batches, training_epoch
from keras_poolformer.data.sources import Split
from keras_poolformer.data.validation import name_broken
from keras_poolformer.errors import InputError
from keras_poolformer.files import replacing
from keras_poolformer.training.building import build_model, build_optimizer
from keras_poolformer.training.checkpoints import Checkpoints, averaged_weights, has_checkpoint
from keras_poolformer.training.recipes import Recipe
from keras_poolformer.training.reports import Reports, draw_curve
from keras_poolformer.training.step import EvaluationStep, TrainStep
from keras_poolformer.training.strategy import check_batch, is_chief

CHECKPOINTS, RUN, RESULT = "checkpoints", "run.json", "result.json"
_DATA_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)
_PEER_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@dataclass(frozen=True)
class Run:
    """What is trained, on what, where.

    Args:
        recipe: a `Recipe`.
        training: the `Split` to train on.
        evaluation: the `Split` to evaluate on, or None.
        workdir: a folder; a run that was interrupted there goes on.
        seed: of all that is random.
        init: preset or checkpoint to begin with, or None for fresh weights.
        max_steps: where to stop before the recipe's end, or None.
        checkpoints: folder of the checkpoints, if it is not in `workdir`; may be gs://.
    """

    recipe: Recipe
    training: Split
    evaluation: Split | None
    workdir: Path
    seed: int = 0
    init: str | None = None
    max_steps: int | None = None
    checkpoints: str | None = None

    @property
    def steps_per_epoch(self):
        """Whole batches in the training split."""
        return self.training.num_examples // self.recipe.batch_size

    @property
    def total_steps(self):
        """Steps of the recipe's schedule."""
        return self.steps_per_epoch * self.recipe.all_epochs

    @property
    def last_step(self):
        """Where this run ends."""
        return min(self.total_steps, self.max_steps or self.total_steps)

    @property
    def checkpoint_folder(self):
        """Where the checkpoints lie."""
        return self.checkpoints or str(self.workdir / CHECKPOINTS)

    @property
    def begun(self):
        """Whether there is a checkpoint to go on from."""
        return has_checkpoint(self.checkpoint_folder)

    def describe(self):
        """What must not change when a run goes on, as JSON-ready values."""
        recipe = self.recipe.to_dict()
        for name in ("steps_per_call", "save_every"):
            del recipe[name]
        return {
            "seed": self.seed,
            "init": self.init,
            "training": self.training.name,
            "examples": self.training.num_examples,
            "evaluation": self.evaluation.name if self.evaluation else None,
            **json.loads(json.dumps(recipe)),
        }


class Trainer:
    """Trains, evaluates after each epoch, saves, and goes on where it was interrupted.

    Args:
        run: a `Run`.
        strategy: a `tf.distribute.Strategy`.

    Raises:
        InputError: the batch does not fit the strategy or the data, or `workdir` holds
            another run.
    """

    def __init__(self, run, strategy):
        self._run, self._strategy, self._chief = run, strategy, is_chief(strategy)
        check_batch(strategy, run.recipe)
        if not run.steps_per_epoch:
            raise InputError(
                f"`batch_size` must be at most the {run.training.num_examples} images of "
                f"{run.training.name}. Received: {run.recipe.batch_size}"
            )
        run.workdir.mkdir(parents=True, exist_ok=True)
        if self._chief:
            _claim(run)
        self._stop = threading.Event()
        with strategy.scope():
            self._model = build_model(run.recipe, run.training.class_names, run.init, run.seed)
            self._model.provenance = _provenance(run, self._model)
            self._optimizer = build_optimizer(run.recipe, self._model, run.steps_per_epoch)
        self._checkpoints = Checkpoints(
            run.checkpoint_folder, self._model, self._optimizer, self._chief
        )
        recipe = run.recipe
        self._train_step = TrainStep(
            self._model,
            self._optimizer,
            recipe.mixing,
            len(run.training.class_names),
            recipe.batch_size,
            recipe.accumulate_steps,
        )
        self._evaluation_step = EvaluationStep(self._model)
        self._train_steps = tf.function(self._train_loop)
        self._evaluate_steps = tf.function(self._evaluation_loop)

    def train(self):
        """Trains to the end, or until SIGTERM.

        Returns:
            {"step", "finished", ...} and, where there is an evaluation, its last figures.

        Raises:
            InputError: an image is broken, a disk is full, the loss is no number, or another
                worker is gone; one line that says which.
        """
        start = self._checkpoints.restore()
        run = self._run
        reports = Reports(run.workdir, run.last_step, start, run.recipe.batch_size, self._chief)
        with _on_sigterm(self._stop):
            try:
                step = self._epochs(start, reports)
            except _DATA_ERRORS as error:
                raise self._data_error(error) from error
            except _PEER_ERRORS as error:
                raise self._peer_error(error) from error
            finally:
                reports.close()
        if step < run.last_step:
            return {"step": step, "finished": False}
        return self._finish(step)

    def _epochs(self, step, reports):
        run = self._run
        while step < run.last_step and not self._stop.is_set():
            epoch = step // run.steps_per_epoch
            end = min((epoch + 1) * run.steps_per_epoch, run.last_step)
            step = self._epoch(epoch, step, end, reports)
            if step < end:  # stopped
                self._checkpoints.save(step)
                break
            if run.evaluation:
                with averaged_weights(self._model, self._optimizer):
                    result = self.evaluate(run.evaluation)
                reports.evaluation(step, epoch + 1, result)
                self._checkpoints.save_if_best(step, result["top1"])
            self._checkpoints.save(step)
        return step

    def _epoch(self, epoch, step, end, reports):
        """Trains up to step `end`, or until it is asked to stop; returns the step reached."""
        recipe = self._run.recipe
        iterator = iter(self._training_data(epoch, step % self._run.steps_per_epoch))
        while step < end:
            to_save = recipe.save_every - step % recipe.save_every
            count = min(recipe.steps_per_call, end - step, to_save)
            draws, seeds = self._random(step)
            rates = [self._rate(step + i) for i in range(count)]
            stop = tf.constant(float(self._stop.is_set()))
            results, stopped = self._train_steps(iterator, tf.constant(count), draws, seeds, stop)
            results = results.numpy()
            if not np.isfinite(results[:, 0]).all():
                raise InputError(
                    f"the loss of step {step + 1} to {step + count} is no number: a lower "
                    f"learning_rate helps; the last checkpoint in {self._run.workdir} is whole"
                )
            reports.steps([
                (step + i + 1, *map(float, row), rate)
                for i, (row, rate) in enumerate(zip(results, rates, strict=True))
            ])  # fmt: skip
            step += count
            if stopped.numpy() > 0:
                self._stop.set()  # another worker may have been the one to be asked
                break
            if count == to_save and step < end:
                self._checkpoints.save(step)
        return step

    def _random(self, step):
        """What the next steps draw: float32 (n, 4) and int32 (n, 2)."""
        run, count = self._run, self._run.recipe.steps_per_call
        draws = [run.recipe.mixing.draw(run.seed, step + i) for i in range(count)]
        seeds = [(run.seed, step + i) for i in range(count)]
        return tf.constant(np.stack(draws)), tf.constant(seeds, tf.int32)

    def _rate(self, step):
        return float(self._optimizer.schedule(step))

    def _train_loop(self, iterator, count, draws, seeds, stop):
        """`count` steps; float32 (count, 2) losses and accuracies, and whether anyone stops."""
        results = tf.TensorArray(tf.float32, count, element_shape=(2,))
        for index in tf.range(count):
            images, labels = next(iterator)
            loss, correct = self._strategy.run(
                self._replica_step, (images, labels, draws[index], seeds[index])
            )
            results = results.write(index, tf.stack([self._sum(loss), self._sum(correct)]))
        return results.stack(), self._sum(self._strategy.run(lambda: tf.identity(stop)))

    def _replica_step(self, images, labels, draw, seed):
        return self._train_step(images, labels, draw, seed)

    def _sum(self, values):
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def evaluate(self, split):
        """Returns {"loss", "top1", "top5"} of the model as it is, on every example once."""
        recipe, strategy = self._run.recipe, self._strategy
        batch = recipe.batch_size // recipe.accumulate_steps

        def dataset(context):
            return evaluation_batches(
                split,
                recipe.transform,
                global_batch=batch,
                replica_batch=context.get_per_replica_batch_size(batch),
                hosts=(context.input_pipeline_id, context.num_input_pipelines),
            )

        iterator = iter(strategy.distribute_datasets_from_function(dataset))
        count = tf.constant(math.ceil(split.num_examples / batch))
        loss, first, among_five, images = self._evaluate_steps(iterator, count).numpy()
        return {
            "loss": float(loss / images),
            "top1": 100 * float(first / images),
            "top5": 100 * float(among_five / images),
        }

    def _evaluation_loop(self, iterator, count):
        sums = tf.zeros((4,), tf.float64)
        for _ in tf.range(count):
            images, labels = next(iterator)
            batch = self._sum(self._strategy.run(self._replica_evaluation, (images, labels)))
            sums += tf.cast(batch, tf.float64)
        return sums

    def _replica_evaluation(self, images, labels):
        return self._evaluation_step(images, labels)

    def _training_data(self, epoch, skip_steps):
        run, recipe = self._run, self._run.recipe

        def dataset(context):
            return training_epoch(
                run.training,
                recipe.augmentation,
                seed=run.seed,
                epoch=epoch,
                global_batch=recipe.batch_size,
                replica_batch=context.get_per_replica_batch_size(recipe.batch_size),
                hosts=(context.input_pipeline_id, context.num_input_pipelines),
                skip_steps=skip_steps,
            )

        return self._strategy.distribute_datasets_from_function(dataset)

    def _finish(self, step):
        """Writes the model, the best one where it is another, the curve and the figures."""
        run, result = self._run, {"step": step, "finished": True}
        if self._chief:
            self._write_model("model", step)
            draw_curve(run.workdir)
        if run.evaluation:
            best_step, result["best_top1"] = self._checkpoints.best
            with averaged_weights(self._model, self._optimizer):
                result |= self.evaluate(run.evaluation)
            if best_step not in (-1, step):
                self._checkpoints.restore_best()
                if self._chief:
                    self._write_model("best", best_step)
        if self._chief:
            with replacing(run.workdir / RESULT) as written:
                written.write_text(json.dumps(result, indent=2) + "\n")
        return result

    def _write_model(self, name, step):
        """Writes NAME.keras and NAME.safetensors, which PyTorch's PoolFormers read."""
        self._model.provenance = dict(self._model.provenance) | {"step": step}
        with averaged_weights(self._model, self._optimizer):
            plain = _float32_copy(self._model)
        with replacing(self._run.workdir / f"{name}.keras") as written:
            plain.save(written)
        with replacing(self._run.workdir / f"{name}.safetensors") as written:
            save_torch_weights(plain, written, layout="sail", allow_other_head=True)

    def _data_error(self, error):
        for split in (self._run.training, self._run.evaluation):
            named = name_broken(split, error) if split else None
            if named:
                return named
        return error

    def _peer_error(self, error):
        if not isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return error
        return InputError(
            "another worker is gone, or cannot be reached: start all of them again with the same "
            f"command, and they go on from the last checkpoint in {self._run.workdir} "
            f"({type(error).__name__})"
        )


def _claim(run):
    """Writes what the run is; refuses a folder with another one."""
    path, own = run.workdir / RUN, run.describe()
    if path.exists():
        found = json.loads(path.read_text())
        for name in sorted(own.keys() | found.keys()):
            if own.get(name) != found.get(name):
                raise InputError(
                    f"{run.workdir} holds a run with {name}={_short(found.get(name))}: use another "
                    f"folder, or the same command. Received: {_short(own.get(name))}"
                )
        return
    with replacing(path) as written:
        written.write_text(json.dumps(own, indent=2) + "\n")


def _short(value):
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _provenance(run, model):
    return dict(model.provenance or {}) | {
        "source": f"keras-poolformer train on {run.training.name}",
        "seed": run.seed,
        "init": run.init,
        "transform": run.recipe.transform.to_dict(),
    }


def _float32_copy(model):
    """The same model in float32, outside of any strategy: what is written to disk."""
    copy = type(model)(model.config, provenance=dict(model.provenance), dtype="float32")
    for own, theirs in zip(copy.weights, model.weights, strict=True):
        own.assign(np.array(theirs))
    return copy


class _on_sigterm:
    """Within the block SIGTERM sets an event instead of ending the process."""

    def __init__(self, event):
        self._event = event

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._event.set())

    def __exit__(self, *_):
        if self._main:
            signal.signal(signal.SIGTERM, self._before)
