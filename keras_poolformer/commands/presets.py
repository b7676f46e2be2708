"""`keras-poolformer presets`."""

import argparse
import json
from typing import Any

from keras_poolformer.commands.arguments import add_command
from keras_poolformer.sources.presets import list_presets


def add_parser(group: Any) -> None:
    """Adds the subcommand."""
    command = add_command(group, "presets", presets, "presets")
    command.add_argument("--json", action="store_true", help="print JSON")


def presets(options: argparse.Namespace) -> None:
    """Lists the presets."""
    descriptions = list_presets()
    if options.json:
        print(json.dumps(descriptions, indent=2))
        return
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        print(f"{name:{width}}  {description}")
