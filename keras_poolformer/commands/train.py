"""The subcommand `train`; heavy imports are inside."""

import argparse
from typing import TYPE_CHECKING

from keras_poolformer.commands.arguments import CommandGroup, add_command, positive
from keras_poolformer.support.errors import require_packages
from keras_poolformer.support.messages import json_text
from keras_poolformer.training import RECIPE_SUMMARIES, STRATEGIES, running

if TYPE_CHECKING:
    from keras_poolformer.training.results import TrainingResult


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "train",
        train,
        "train --recipe convformer_tiny_cifar10 --data cifar10 --workdir run",
    )
    recipes = "\n".join(f"  {name:23}  {line}" for name, line in RECIPE_SUMMARIES.items())
    command.epilog = f"recipes:\n{recipes}\n\n{command.epilog}"
    _add_run_options(command)
    _add_data_options(command)
    _add_strategy_options(command)
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--recipe", required=True, metavar="NAME", help="name of a recipe; the list is below"
    )
    command.add_argument(
        "--workdir",
        required=True,
        metavar="FOLDER",
        help="folder for everything that is written; a run that it holds is resumed",
    )
    command.add_argument(
        "--init",
        metavar="SOURCE",
        help="preset or checkpoint to start from (default: fresh weights)",
    )
    command.add_argument(
        "--set",
        dest="settings",
        metavar="FIELD=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="fields of the recipe to change, as in batch_size=32 drop_path_rate=0",
    )
    command.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        default=0,
        help="seed of everything random (default: %(default)s)",
    )
    command.add_argument(
        "--max-steps",
        type=positive,
        metavar="N",
        help="number of steps after which to stop (default: all of the recipe)",
    )
    command.add_argument(
        "--checkpoints",
        metavar="FOLDER",
        help="folder of the checkpoints, which may be gs:// (default: WORKDIR/checkpoints)",
    )


def _add_data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        required=True,
        metavar="FOLDER|NAME",
        help="images to train on: a folder ROOT/train/label/image or ROOT/label/image, for "
        "segmenters ROOT/images/1.jpg and ROOT/masks/1.png, with class names in ROOT/labels.txt; "
        "records of `prepare`, also at gs://; or a tfds data set",
    )
    command.add_argument(
        "--data-dir", metavar="FOLDER", help="folder of tfds data sets (default: tfds' own)"
    )
    command.add_argument(
        "--skip-validation",
        action="store_true",
        help="skip the check, before the first step, that all images can be decoded",
    )


def _add_strategy_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="one_device",
        help="devices to train on; multiworker reads TF_CONFIG (default: %(default)s)",
    )
    command.add_argument(
        "--replicas",
        type=positive,
        metavar="N",
        help="number of devices of --strategy mirrored (default: all GPUs)",
    )
    command.add_argument(
        "--tpu", metavar="NAME", help='name of the Cloud TPU, or "local" on its own machine'
    )
    command.add_argument("--zone", metavar="NAME", help="zone of the TPU")
    command.add_argument("--project", metavar="NAME", help="project of the TPU")


def train(options: argparse.Namespace) -> None:
    """Trains a model; resumes where the same command was interrupted."""
    require_packages(running.EXTRAS)
    from keras_poolformer.training.recipes import get_recipe

    trained = running.train(
        get_recipe(options.recipe).with_settings(options.settings),
        options.data,
        options.workdir,
        init=options.init,
        strategy=options.strategy,
        replicas=options.replicas,
        tpu=options.tpu,
        zone=options.zone,
        project=options.project,
        seed=options.seed,
        max_steps=options.max_steps,
        checkpoints=options.checkpoints,
        data_dir=options.data_dir,
        skip_validation=options.skip_validation,
    )
    _print(trained, options)


def _print(result: "TrainingResult", options: argparse.Namespace) -> None:
    if options.json:
        print(json_text(result.to_dict()))
        return
    if not result.finished:
        return
    from keras_poolformer.training.results import FIGURE_NAMES

    names = {
        **FIGURE_NAMES,
        **{f"best_{key}": f"best {name}" for key, name in FIGURE_NAMES.items()},
    }
    found = result.to_dict()
    figures = [f"{name} {found[key]:.2f} %" for key, name in names.items() if key in found]
    steps = f"step {result.step}" + (" (early)" if result.stopped_early else "")
    print(f"{options.workdir}/model.keras: {', '.join([steps, *figures])}")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 2147483647. Received: {text!r}"
        )
    return int(text)
