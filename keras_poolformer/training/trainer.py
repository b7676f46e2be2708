"""The training loop: the same on one device, several, several machines, and TPUs.

Several steps run in one call of a `tf.function`, each a `strategy.run` of `TrainStep`. Everything
random is a function of the seed and the step (`data.randomness`), so a run that is resumed from a
checkpoint gives the same bytes as one that was not interrupted. For that, and for several machines,
this is a loop of its own and not Keras' `fit`.
"""

import contextlib
import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_poolformer.data.pipeline import TrainingPipeline, evaluation_batches
from keras_poolformer.data.splits.split import Dataset, Split
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.interruptions import stop_requested
from keras_poolformer.training.announcement import start_lines
from keras_poolformer.training.building import (
    build_model,
    build_optimizer,
    build_schedule,
    trained_provenance,
)
from keras_poolformer.training.checkpoints import Checkpoints, averaged_weights
from keras_poolformer.training.failures import failures_named
from keras_poolformer.training.finishing import finish
from keras_poolformer.training.loss_watch import LossWatch
from keras_poolformer.training.reports import Callback, Reports
from keras_poolformer.training.results import Evaluation, TrainingResult, score_name
from keras_poolformer.training.run import Run
from keras_poolformer.training.step import EvaluationStep, TrainStep
from keras_poolformer.training.strategy import Strategy, check_batch, is_chief
from keras_poolformer.training.tasks import Model, task_of
from keras_poolformer.training.writing import portable_model, refuse_unwritable


class Trainer:
    """Trains, evaluates after each epoch, saves, and resumes where it was interrupted.

    Args:
        run: Run to train.
        strategy: Strategy to train it with.
        callbacks: Functions to call with the figures of each step and of each evaluation,
            {"train/loss": 2.3, ...} or {"evaluation/top1": 81.2, ...}, and the number of the step.
        verbose: Whether progress and a line an epoch are printed on stderr.

    Attributes:
        start_lines: Lines of text that say what is trained, from which weights, at which rates.

    Raises:
        InputError: The batch does not fit the strategy or the data, the weights to start from
            cannot be used or do not fit the recipe, or `workdir` holds another run.
    """

    def __init__(
        self,
        run: Run,
        strategy: Strategy,
        callbacks: Sequence[Callback] = (),
        verbose: bool = True,
    ) -> None:
        self._run, self._strategy, self._chief = run, strategy, is_chief(strategy)
        self._reporting = callbacks, verbose
        check_batch(strategy, run.recipe)
        if not run.steps_per_epoch:
            raise InputError(
                f"`batch_size` must be at most the {run.training.num_examples} images of "
                f"{run.training.name}. Received: {run.recipe.batch_size}"
            )
        with strategy.scope():
            self._model, recipe, start = build_model(
                run.recipe, run.training.class_names, run.init, run.seed
            )
            self._run = run = dataclasses.replace(run, recipe=recipe)
            self._model.provenance = trained_provenance(run, self._model)
            self._schedule = build_schedule(recipe, run.steps_per_epoch)
            self._optimizer = build_optimizer(recipe, self._model, self._schedule)
        self.start_lines: list[str] = start_lines(run, self._model, start)
        num_classes = len(run.training.class_names)
        self._task = task_of(recipe, num_classes)
        self._watch = LossWatch(num_classes, run.warmup_steps, run.last_step)
        run.workdir.mkdir(parents=True, exist_ok=True)
        if self._chief:
            refuse_unwritable(run.workdir)
            run.claim()
        self._pipeline = TrainingPipeline(run.training, recipe.augmentation, run.seed)
        self._evaluation_batch = recipe.batch_size // recipe.accumulate_steps
        self._evaluation_data = functools.cache(self._batches_of)  # traced once, not in each epoch
        self._stop = threading.Event()
        self._checkpoints = Checkpoints(
            run.checkpoint_folder, self._model, self._optimizer, self._chief
        )
        self._train_step = TrainStep(
            self._model,
            self._optimizer,
            self._task,
            recipe.batch_size,
            recipe.accumulate_steps,
            recipe.jit_compile,
        )
        self._evaluation_step = EvaluationStep(self._model, self._task)
        self._train_steps = tf.function(self._train_loop)
        self._evaluate_steps = tf.function(self._evaluation_loop)

    def train(self) -> TrainingResult:
        """Trains to the end, or until SIGTERM or Ctrl-C.

        Raises:
            InputError: Another training uses the folder, an image is corrupt, a disk is full, the
                loss became NaN or infinite, or another worker has ended.
        """
        with self._run.locked() if self._chief else contextlib.nullcontext():
            return self._train()

    def _train(self) -> TrainingResult:
        run, recipe = self._run, self._run.recipe
        start = self._checkpoints.restore()
        reports = Reports(
            run.workdir,
            run.last_step,
            start,
            recipe.all_epochs,
            recipe.batch_size,
            score_name(recipe.config),
            self._chief,
            *self._reporting,
        )
        with stop_requested() as self._stop:
            try:
                with failures_named(run, self._strategy):
                    step = self._epochs(start, reports)
            finally:
                reports.close()
        if step < run.last_step and not self._patience_ended(step):
            return TrainingResult(step, finished=False)
        return finish(run, self._model, self._optimizer, self._checkpoints, step, self._chief)

    def current_model(self) -> Model:
        """Returns a float32 copy of the model as it is, with averaged weights if there are any."""
        return portable_model(self._model, self._optimizer, self._checkpoints.step)

    def _epochs(self, step: int, reports: Reports) -> int:
        run = self._run
        while step < run.last_step and not self._stop.is_set() and not self._patience_ended(step):
            epoch = step // run.steps_per_epoch
            end = min((epoch + 1) * run.steps_per_epoch, run.last_step)
            reports.start_epoch(epoch)
            step = self._epoch(epoch, step, end, reports)
            if warning := self._watch.warning():
                reports.warning(warning)
            if step < end:  # stopped
                self._checkpoints.save(step)
                break
            result = self._evaluated(step)
            reports.end_epoch(step, result)
            self._checkpoints.save(step)
        return step

    def _evaluated(self, step: int) -> Evaluation | None:
        """Evaluates, if there is a split for it, and saves the state if it is the best so far."""
        if not self._run.evaluation:
            return None
        with averaged_weights(self._model, self._optimizer):
            result = self.evaluate(self._run.evaluation)
        self._checkpoints.save_if_best(step, getattr(result, score_name(self._run.recipe.config)))
        return result

    def _patience_ended(self, step: int) -> bool:
        """Whether as many epochs have ended since the best evaluation as the recipe allows."""
        patience, best_step = self._run.recipe.patience, self._checkpoints.best[0]
        if not patience or best_step < 0:
            return False
        return step >= best_step + patience * self._run.steps_per_epoch

    def _epoch(self, epoch: int, step: int, end: int, reports: Reports) -> int:
        """Trains up to step `end`, or until it is asked to stop; returns the step reached."""
        recipe = self._run.recipe
        iterator = iter(self._training_data(epoch, step % self._run.steps_per_epoch))
        while step < end:
            to_save = recipe.save_every - step % recipe.save_every
            count = min(recipe.steps_per_call, end - step, to_save)
            results, stopped = self.take_steps(iterator, step, count)
            if not np.isfinite(results[:, 0]).all():
                raise InputError(
                    f"the loss became NaN or infinite between steps {step + 1} and {step + count}. "
                    "Try a lower learning_rate; the last checkpoint in "
                    f"{self._run.workdir} is intact"
                )
            reports.steps([
                (step + i + 1, *map(float, figures), float(self._schedule(step + i)))
                for i, figures in enumerate(results)
            ])  # fmt: skip
            self._watch.add(map(float, results[:, 0]))
            step += count
            if stopped:
                self._stop.set()  # perhaps another worker was asked
                break
            if count == to_save and step < end:
                self._checkpoints.save(step)
        return step

    def take_steps(self, iterator: Any, step: int, count: int) -> tuple[np.ndarray, bool]:
        """Takes several steps in one call.

        Args:
            iterator: Iterator of distributed batches.
            step: Number of steps that were taken before.
            count: Number of steps to take, at most the recipe's `steps_per_call`.

        Returns:
            (float32 (count, 2), loss and accuracy of each step; whether a worker was asked to
            stop).
        """
        draws, seeds = self._random(step)
        stop = tf.constant(float(self._stop.is_set()))
        results, stopped = self._train_steps(iterator, tf.constant(count), draws, seeds, stop)
        return results.numpy(), bool(stopped.numpy() > 0)

    def _random(self, step: int) -> tuple[tf.Tensor, tf.Tensor]:
        """What the next steps draw: a `MixingDraw` each, float32 (n, 4); int32 (n, 2) seeds."""
        run, count = self._run, self._run.recipe.steps_per_call
        draws = [run.recipe.mixing.draw(run.seed, step + i) for i in range(count)]
        seeds = [(run.seed, step + i) for i in range(count)]
        return tf.constant(np.stack(draws)), tf.constant(seeds, tf.int32)

    def _train_loop(
        self,
        iterator: Any,
        count: tf.Tensor,
        draws: tf.Tensor,
        seeds: tf.Tensor,
        stop: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes `count` steps.

        Returns:
            float32 (count, 2) losses and accuracies; number of replicas that are to stop.
        """
        results = tf.TensorArray(tf.float32, count, element_shape=(2,))
        for index in tf.range(count):
            images, labels = next(iterator)
            loss, correct = self._strategy.run(
                self._train_step.__call__, (images, labels, draws[index], seeds[index])
            )
            results = results.write(index, tf.stack([self._sum(loss), self._sum(correct)]))
        return results.stack(), self._sum(self._strategy.run(lambda: tf.identity(stop)))

    def _sum(self, values: Any) -> tf.Tensor:
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def evaluate(self, split: Split) -> Evaluation:
        """Evaluates the model as it is, on every example of a split once.

        Args:
            split: Split to evaluate on.
        """
        count = tf.constant(math.ceil(split.num_examples / self._evaluation_batch))
        sums = self._evaluate_steps(iter(self._evaluation_data(split)), count).numpy()
        return self._task.evaluation(sums, split.num_examples)

    def _evaluation_loop(self, iterator: Any, count: tf.Tensor) -> tf.Tensor:
        sums = tf.zeros((self._task.num_sums,), tf.float64)
        for _ in tf.range(count):
            images, labels = next(iterator)
            batch = self._sum(self._strategy.run(self._evaluation_step.__call__, (images, labels)))
            sums += tf.cast(batch, tf.float64)
        return sums

    def _batches_of(self, split: Split) -> Any:
        transform = self._run.recipe.evaluation_transform
        batches = functools.partial(evaluation_batches, split, transform)
        return self._distributed(batches, self._evaluation_batch)

    def _training_data(self, epoch: int, skip_steps: int) -> Any:
        batches = functools.partial(self._pipeline.epoch, epoch, skip_steps=skip_steps)
        return self._distributed(batches, self._run.recipe.batch_size)

    def _distributed(self, batches: Callable[..., Dataset], global_batch: int) -> Any:
        """The batches that each host makes of its part, on its replicas."""

        @tf.autograph.experimental.do_not_convert
        def dataset(context: tf.distribute.InputContext) -> Dataset:
            return batches(
                global_batch=global_batch,
                replica_batch=context.get_per_replica_batch_size(global_batch),
                hosts=(context.input_pipeline_id, context.num_input_pipelines),
            )

        return self._strategy.distribute_datasets_from_function(dataset)
