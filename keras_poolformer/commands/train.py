"""The subcommand `train`; heavy imports are inside."""

import argparse
import sys
from pathlib import Path

from keras_poolformer.commands.arguments import add_command, positive, print_note
from keras_poolformer.support.errors import FRAMEWORK, require_packages
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress
from keras_poolformer.training import STRATEGIES

# Packages that no run can do without, and the extras that bring them.
EXTRAS = FRAMEWORK | dict.fromkeys(("tensorboard", "tqdm", "matplotlib"), "train")


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "train",
        train,
        "train a model; rerun the same command to resume where it was interrupted",
        "train --recipe poolformer_tiny_cifar10 --data cifar10 --workdir run",
    )
    command.add_argument("--recipe", required=True, metavar="NAME", help="of a training recipe")
    command.add_argument(
        "--data",
        required=True,
        metavar="FOLDER_OR_NAME",
        help="ROOT/train/label/image, ROOT/label/image, what `prepare` wrote, or a tfds data set",
    )
    command.add_argument("--workdir", required=True, metavar="DIR", help="for all that is written")
    command.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="one_device",
        help="of tf.distribute (one_device); multiworker reads TF_CONFIG",
    )
    command.add_argument("--replicas", type=positive, metavar="N", help="of mirrored")
    command.add_argument("--tpu", metavar="NAME", help='of a Cloud TPU; "local" on its own VM')
    command.add_argument("--zone", help="of the TPU")
    command.add_argument("--project", help="of the TPU")
    command.add_argument("--init", metavar="CHECKPOINT", help="preset or file to begin with")
    command.add_argument("--max-steps", type=positive, metavar="N", help="stop there")
    command.add_argument("--seed", type=_seed, default=0, help="of all that is random (0)")
    command.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", nargs="+", action="extend", default=[],
        help="fields of the recipe, as in batch_size=32 drop_path_rate=0",
    )  # fmt: skip
    command.add_argument("--data-dir", metavar="FOLDER", help="where tfds data sets lie or are put")
    command.add_argument(
        "--checkpoints", metavar="DIR", help="if not in the working directory; may be gs://"
    )
    command.add_argument(
        "--skip-validation", action="store_true", help="do not read all images once before"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def train(options):
    """Trains a model; resumes where the same command was interrupted."""
    require_packages(EXTRAS)
    from keras_poolformer.training.recipes import get_recipe
    from keras_poolformer.training.strategy import check_batch, create_strategy, is_chief

    recipe = get_recipe(options.recipe).with_settings(options.settings)
    recipe.check_init(options.init)
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
    trainer = Trainer(run, strategy)
    if is_chief(strategy):
        for line in trainer.start_lines:
            print(f"keras-poolformer train: {line}", file=sys.stderr)
    result = trainer.train()
    _print(result, options)


def _splits(recipe, options):
    from keras_poolformer.data.splits.opening import open_splits

    progress = Progress([f"opening {options.data}"])
    progress.start()
    training, evaluation = open_splits(options.data, options.data_dir, print_note)
    progress.finish()
    if recipe.held_out:
        training, evaluation = training.held_out(recipe.held_out)
    return training, evaluation


def _validate(splits, strategy):
    """Each host reads its own share of the images once."""
    from keras_poolformer.data.splits.validation import validate

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
        print(json_text(result))
        return
    if not result["finished"]:
        saved = f"stopped after step {result['step']}, which is saved"
        print(f"{saved}: rerun the same command to resume", file=sys.stderr)
        return
    figures = [f"{name} {result[key]:.2f} %" for name, key in _SHOWN.items() if key in result]
    steps = f"step {result['step']}" + (" (early)" if result.get("stopped_early") else "")
    print(f"{options.workdir}/model.keras: {', '.join([steps, *figures])}")


_SHOWN = {"top-1": "top1", "top-5": "top5", "best top-1": "best_top1"}


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 2147483647. Received: {text!r}"
        )
    return int(text)
