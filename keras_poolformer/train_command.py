"""The subcommand `train`; heavy imports are inside."""

import json
import sys
from pathlib import Path

from keras_poolformer.errors import MissingExtraError
from keras_poolformer.progress import Progress


def train(options):
    """Trains a model; goes on where the same command was interrupted."""
    _require_extra()
    from keras_poolformer.training.recipes import get_recipe
    from keras_poolformer.training.strategy import check_batch, create_strategy

    recipe = get_recipe(options.recipe).with_settings(options.settings)
    # TensorFlow wants to know its devices and peers before it does anything else.
    strategy = create_strategy(
        options.strategy, options.replicas, options.tpu, options.zone, options.project
    )
    check_batch(strategy, recipe)
    training, evaluation = _splits(recipe, options)

    from keras_poolformer.training.run import Run
    from keras_poolformer.training.trainer import Trainer

    run = Run(
        recipe,
        training,
        evaluation,
        Path(options.workdir),
        options.seed,
        options.init,
        options.max_steps,
        options.checkpoints,
    )
    if not options.skip_validation and not run.begun:
        _validate([split for split in (training, evaluation) if split], strategy)
    result = Trainer(run, strategy).train()
    _print(result, options)


def _require_extra():
    import importlib

    for package in ("tensorflow", "tensorboard", "tqdm", "matplotlib"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            extra = "tensorflow" if package == "tensorflow" else "train"
            raise MissingExtraError(package, extra) from None


def _splits(recipe, options):
    from keras_poolformer.data.sources import open_splits

    progress = Progress([f"opening {options.data}"])
    progress.start()
    training, evaluation = open_splits(options.data, options.data_dir)
    progress.finish()
    if recipe.held_out:
        training, evaluation = training.held_out(recipe.held_out)
    return training, evaluation


def _validate(splits, strategy):
    """Each host reads its own share of the images once."""
    from keras_poolformer.data.validation import validate

    resolver = strategy.cluster_resolver
    workers = getattr(strategy.extended, "_num_workers", 1)
    shard = (resolver.task_id, workers) if workers > 1 else (0, 1)
    progress = Progress([f"checking the images of {split.name}" for split in splits])
    for split in splits:
        progress.start()
        validate(split, progress.advance, shard)
    progress.finish()


def _print(result, options):
    if options.json:
        print(json.dumps(result, indent=2))
        return
    if not result["finished"]:
        print(
            f"stopped after step {result['step']}, which is saved: the same command goes on",
            file=sys.stderr,
        )
        return
    figures = [f"{name} {result[key]:.2f} %" for name, key in _SHOWN.items() if key in result]
    print(f"{options.workdir}/model.keras: step {result['step']}" + "".join(
        f", {figure}" for figure in figures
    ))  # fmt: skip


_SHOWN = {"top-1": "top1", "top-5": "top5", "best top-1": "best_top1"}
