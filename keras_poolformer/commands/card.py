"""`keras-poolformer card`: a model laid out as a hub repository, with its card."""

import argparse
from pathlib import Path

from keras_poolformer.commands.arguments import CommandGroup, add_command, add_source
from keras_poolformer.commands.evaluate import add_data_options, data_options
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.publishing import making
from keras_poolformer.support.messages import json_text


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "card",
        card,
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
        default=making.DEFAULT_RECIPES,
        metavar="NAME,NAME",
        help=f"recipes of the .tflite files: {', '.join(RECIPES)}; or none "
        f"(default: {','.join(making.DEFAULT_RECIPES)})",
    )
    command.add_argument(
        "--calibration", metavar="FOLDER", help="calibration images for recipes that need them"
    )
    add_data_options(command)


def card(options: argparse.Namespace) -> None:
    """Writes the repository, or nothing if any part of it fails."""
    card = making.make_card(
        options.source,
        options.output,
        name=options.name,
        repository=options.repository,
        dataset=options.dataset,
        license=options.license,
        recipes=options.recipes,
        calibration=options.calibration,
        overwrite=options.overwrite,
        **data_options(options),
    )
    names = sorted(path.name for path in Path(options.output).iterdir())
    print(json_text(card.figures()) if options.json else f"{options.output}: {', '.join(names)}")


def _recipes(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))
