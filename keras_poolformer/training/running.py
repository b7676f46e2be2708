"""Trains a model in one call, as `keras-poolformer train` does; heavy imports are inside."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_poolformer.data.splits.in_memory import ImageData, Pairs, name_of
from keras_poolformer.support.errors import FRAMEWORK, InputError, require_packages
from keras_poolformer.support.messages import shown
from keras_poolformer.support.progress import Progress, print_note

if TYPE_CHECKING:
    from keras_poolformer.data.splits.opening import Splits
    from keras_poolformer.training.recipe import Recipe
    from keras_poolformer.training.run import Run
    from keras_poolformer.training.strategy import Strategy
    from keras_poolformer.training.trained_run import TrainedRun

# Packages that every run needs, and the extras that bring them.
EXTRAS = FRAMEWORK | dict.fromkeys(("tensorboard", "tqdm", "matplotlib"), "train")


def train(
    recipe: "str | Recipe",
    data: ImageData,
    workdir: str | os.PathLike[str],
    *,
    validation_data: Pairs | None = None,
    class_names: Sequence[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    strategy: "str | Strategy" = "one_device",
    replicas: int | None = None,
    tpu: str | None = None,
    zone: str | None = None,
    project: str | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    skip_validation: bool = False,
    callbacks: Sequence[Callable[[dict[str, float], int], Any]] = (),
    verbose: bool = True,
    **settings: Any,
) -> "TrainedRun":
    """Trains a classifier or a segmenter, as `keras-poolformer train` does.

    The files in `workdir` are those of the command, byte for byte. If a run was interrupted
    there, the same call resumes it. Ctrl-C, or interrupting the cell of a notebook, saves the
    state after the current steps and returns; a second one stops at once.

    Args:
        recipe: Name of a recipe, of which `keras_poolformer.training.RECIPE_SUMMARIES` has the
            list, or a `Recipe`.
        data: Images to train on, and to evaluate on after each epoch: a folder
            ROOT/train/label/image or ROOT/label/image, for a segmenter ROOT/images and
            ROOT/masks; records of `prepare`; the name of a tfds data set; or images in memory:
            (uint8 (N, H, W, 3), whole numbers (N,)), with masks (N, H, W) for a segmenter, or a
            tf.data.Dataset of (image, label), single or in batches, which is read once, in its
            order. Images in memory give what PNG files of them give in a folder, sorted alike.
        workdir: Folder for everything that is written.
        validation_data: Images in memory to evaluate on, next to those in `data`.
        class_names: Class names in the order of the labels, for images in memory, and for masks
            in a folder without labels.txt; None for the numbers of classes, and for the names of
            the recipe if it has some.
        init: Preset or checkpoint to start from; None for fresh weights.
        strategy: Devices to train on, one of `keras_poolformer.training.STRATEGIES`, or a
            `tf.distribute.Strategy`.
        replicas: Number of devices of "mirrored"; None for all GPUs.
        tpu: Name of the Cloud TPU of "tpu", or "local" on its own machine.
        zone: Zone of the TPU.
        project: Project of the TPU.
        seed: Seed of everything random, from 0; Keras' global seed is set to it, too.
        max_steps: Number of steps after which to stop; None for all of the recipe.
        checkpoints: Folder of the checkpoints, which may be gs://; None for WORKDIR/checkpoints.
        data_dir: Folder of tfds data sets; None for tfds' own.
        skip_validation: Whether to skip the check, before the first step, that all images can be
            decoded.
        callbacks: Functions to call with the figures of each step, {"train/loss": 2.3,
            "train/accuracy": 0.1, "train/learning_rate": 1e-3}, and of each evaluation,
            {"evaluation/loss": 2.1, "evaluation/top1": 20.5, ...}, and the number of the step, as
            wandb.log takes both. What one raises ends the training, which can be resumed from
            the last checkpoint.
        verbose: Whether progress and a line an epoch are printed on stderr.
        **settings: Fields of the recipe to change, as in batch_size=32, drop_path_rate=0.0.

    Returns:
        Figures, history, curve and model. `finished` is False if the training was interrupted.

    Raises:
        InputError: An argument, a setting or the data cannot be used, `workdir` holds another
            run, a file cannot be written, or the loss became NaN or infinite.
        MissingExtraError: A package is not installed.
    """
    require_packages(EXTRAS)
    from keras_poolformer.training.strategy import check_batch

    recipe = _recipe(recipe).replace(**settings)
    recipe.check_init(_text(init))
    # TensorFlow must know its devices and peers before it does anything else.
    strategy = _strategy(strategy, replicas, tpu, zone, project)
    check_batch(strategy, recipe)
    progress = Progress([f"opening {name_of(data)}"], shown=verbose)
    progress.start()
    splits = _opened(
        recipe,
        data,
        data_dir,
        print_note if verbose else None,
        validation_data=validation_data,
        class_names=class_names,
    )
    progress.finish()

    from keras_poolformer.training.run import Run

    run = Run(recipe, *splits, Path(workdir), seed, _text(init), max_steps, _text(checkpoints))
    if not skip_validation and not run.begun:
        _validate(run, strategy, verbose)
    return _trained(run, strategy, callbacks, verbose)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _recipe(recipe: "str | Recipe") -> "Recipe":
    from keras_poolformer.training.recipe import Recipe
    from keras_poolformer.training.recipes import get_recipe

    if isinstance(recipe, str):
        return get_recipe(recipe)
    if not isinstance(recipe, Recipe):
        raise InputError(f"`recipe` must be a Recipe or the name of one. Received: {shown(recipe)}")
    return recipe


def _strategy(strategy: "str | Strategy", *options: Any) -> "Strategy":
    from keras_poolformer.training.strategy import create_strategy

    if isinstance(strategy, str):
        return create_strategy(strategy, *options)
    if any(option is not None for option in options):
        raise InputError(
            "`replicas`, `tpu`, `zone` and `project` go with the name of a strategy. "
            f"Received: {type(strategy).__name__}"
        )
    return strategy


def _opened(
    recipe: "Recipe", *data: Any, class_names: Sequence[str] | None, **options: Any
) -> "Splits":
    """The splits to train and to evaluate on; `data` and `options` are those of `open_splits`."""
    from keras_poolformer.data.splits.opening import Splits, open_masked_splits, open_splits

    if recipe.config.is_segmenter:
        splits = open_masked_splits(
            *data,
            class_names=class_names or recipe.config.labels,
            reduce_zero_label=recipe.reduce_zero_label,
            **options,
        )
    else:
        splits = open_splits(*data, class_names=class_names, **options)
    return Splits(*splits.training.held_out(recipe.held_out)) if recipe.held_out else splits


def _validate(run: "Run", strategy: "Strategy", verbose: bool) -> None:
    """Decodes all images once; each host decodes its share."""
    from keras_poolformer.data.splits.validation import validate

    splits = [split for split in (run.training, run.evaluation) if split]
    resolver = strategy.cluster_resolver
    # Private: TensorFlow 2.20 and 2.21 have it, and no public name for it.
    workers = getattr(strategy.extended, "_num_workers", 1)
    shard = (resolver.task_id, workers) if workers > 1 else (0, 1)
    steps = [f"checking the images of {split.name}" for split in splits]
    progress = Progress(steps, shown=verbose)
    for split in splits:
        progress.start()
        validate(split, progress.advance, shard)
    progress.finish()


def _trained(
    run: "Run",
    strategy: "Strategy",
    callbacks: Sequence[Callable[[dict[str, float], int], Any]],
    verbose: bool,
) -> "TrainedRun":
    from keras_poolformer.training.strategy import is_chief
    from keras_poolformer.training.trained_run import TrainedRun
    from keras_poolformer.training.trainer import Trainer

    trainer = Trainer(run, strategy, callbacks, verbose)
    if verbose and is_chief(strategy):
        for line in trainer.start_lines:
            print(f"keras-poolformer train: {line}", file=sys.stderr)
    result = trainer.train()
    if verbose and not result.finished:
        saved = f"stopped after step {result.step}, which is saved"
        print(f"{saved}: rerun the same command or cell to resume", file=sys.stderr)
    return TrainedRun(
        **vars(result),
        workdir=run.workdir,
        unfinished_model=None if result.finished else trainer.current_model,
    )
