"""`keras-poolformer card`: a model laid out as a hub repository, with its card."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from keras_poolformer.commands.arguments import CommandGroup, add_command, add_source
from keras_poolformer.commands.evaluate import add_data_options, measure
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.models.opening import load_classifier
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import is_text, json_text, shown
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.evaluation.accuracy import Accuracy

MAX_NAME = 50  # characters of up to four bytes; file names have 255 bytes, with their suffixes
_SUFFIXES = re.compile(r"(\.(keras|safetensors|pth|pt|bin|ckpt|tar))+$")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "card",
        card,
        "write a model as a hub repository: Keras, PyTorch, TFLite, labels and model card",
        "card run/model.keras -o repository --data photos/ --recipes fp32,dynamic_int8",
    )
    add_source(command)
    command.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="repository to write"
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing repository")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.add_argument("--name", help="name of the model and its files (default: the source's)")
    command.add_argument(
        "--repository", default="", metavar="OWNER/NAME", help="name of the repository on the hub"
    )
    command.add_argument(
        "--dataset", default="", metavar="NAME", help="data set that the model was trained on"
    )
    command.add_argument(
        "--license",
        default="apache-2.0",
        metavar="NAME",
        help="the hub's identifier of the license (default: %(default)s)",
    )
    command.add_argument(
        "--recipes",
        type=_recipes,
        default=("fp32", "dynamic_int8"),
        metavar="NAME,NAME",
        help=f"recipes of the .tflite files: {', '.join(RECIPES)}; or none "
        "(default: fp32,dynamic_int8)",
    )
    command.add_argument(
        "--calibration", metavar="FOLDER", help="calibration images for the int8 recipes"
    )
    add_data_options(command)


def card(options: argparse.Namespace) -> None:
    """Writes the repository, or nothing if any part of it fails."""
    from keras_poolformer.publishing.repository import (
        REPOSITORY,
        RepositoryOptions,
        write_repository,
    )

    refuse_existing(options.output, options.overwrite, REPOSITORY)
    name = _name_of(options)
    if options.repository and not _REPOSITORY.fullmatch(options.repository):
        raise InputError(f"--repository must be OWNER/NAME. Received: {shown(options.repository)}")
    for recipe in options.recipes:
        if RECIPES[recipe].needs_calibration and not options.calibration:
            raise InputError(
                f"recipe {recipe} needs --calibration FOLDER, with a few hundred images"
            )
    exports = [f"exporting {recipe}" for recipe in options.recipes]
    measured = 1 + len(exports) if options.data else 0
    progress = Progress([
        f"reading {options.source}", "writing the weights", *exports,
        *["loading", f"classifying the images of {options.data}"] * measured,
    ])  # fmt: skip
    progress.start()
    model = load_classifier(options.source, progress=progress.advance)
    contents = RepositoryOptions(
        name=name,
        repository=options.repository,
        dataset=options.dataset,
        license=options.license,
        recipes=options.recipes,
        calibration=options.calibration,
        accuracy_data=_described(options),
    )

    def accuracy(path: Path) -> "Accuracy":
        return measure(options, str(path), progress).accuracy

    with replacing(options.output, options.overwrite, REPOSITORY) as folder:
        written = write_repository(
            model, folder, contents, accuracy if options.data else None, progress.start
        )
        names = sorted(path.name for path in folder.iterdir())
    progress.finish()
    print(json_text(written.figures()) if options.json else f"{options.output}: {', '.join(names)}")


def _described(options: argparse.Namespace) -> str:
    if not options.data:
        return ""
    name = Path(options.data).name if Path(options.data).exists() else options.data
    return f"{name} {options.split}" if options.split else name


def _name_of(options: argparse.Namespace) -> str:
    """Returns the name of the model and its files, by default that of the source without suffixes.

    Raises:
        InputError: It is not the name of a file.
    """
    name = options.name
    if name is None:
        source = options.source.rstrip("/").partition("@")[0]
        path = Path(options.source)
        name = _SUFFIXES.sub("", (path.resolve() if path.exists() else Path(source)).name)
    if name in ("", ".", "..") or "/" in name or not is_text(name) or len(name) > MAX_NAME:
        raise InputError(
            f"--name must be the name of a file, without a folder and of at most {MAX_NAME} "
            f"characters. Received: {shown(name)}"
        )
    return name


def _recipes(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in RECIPES]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"must be different names out of {', '.join(RECIPES)}, or none. Received: {text!r}"
        )
    return names
