"""What the parsers of several subcommands share."""

import argparse
import re
import sys

from keras_poolformer.config import NORMS
from keras_poolformer.support.messages import one_line

PROGRAM = "keras-poolformer"


def add_command(group, name, handler, purpose, example):
    """Adds a subcommand; returns its parser."""
    command = group.add_parser(
        name, help=purpose, description=purpose, epilog=f"example: {PROGRAM} {example}"
    )
    command.set_defaults(handler=handler, parser=command)
    return command


def add_source(command):
    """Adds SOURCE."""
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint file or directory, or hf://OWNER/NAME"
    )


def add_checkpoint_options(command):
    """Adds what may have to be said about a checkpoint."""
    command.add_argument("--layout", help="sail, timm or hf; told by the tensors' names")
    command.add_argument("--head", help="norm_pool or pool_norm instead of the layout's own")
    command.add_argument("--num-classes", type=int, help="other than the checkpoint's: new head")
    command.add_argument("--backbone", action="store_true", help="the network without a head")
    command.add_argument("--pool-size", type=int, help="of the token mixer, if it is not 3")
    command.add_argument("--activation", help="of the MLPs, if it is not gelu")
    command.add_argument(
        "--norm", choices=NORMS, help="of the network, if it is not group_norm; weights fit both"
    )
    command.add_argument("--no-ema", action="store_true", help="not the averaged weights")
    command.add_argument("--sha256", help="refuse the file unless it has this checksum")


def checkpoint_arguments(options):
    """Arguments of `load_model` that say what a checkpoint does not."""
    names = ("head", "num_classes", "pool_size", "activation", "norm")
    given = {name: getattr(options, name) for name in names}
    return {
        "backbone": options.backbone,
        "overrides": {name: value for name, value in given.items() if value is not None},
        "layout": options.layout,
        "use_ema": not options.no_ema,
        "sha256": options.sha256,
    }


def add_output(command, purpose):
    """Adds --output, --overwrite and --json."""
    command.add_argument("-o", "--output", required=True, metavar="PATH", help=purpose)
    command.add_argument("--overwrite", action="store_true", help="replace an existing one")
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def add_overrides(command):
    """Adds --size and --labels."""
    command.add_argument(
        "--size",
        type=_size,
        metavar="N|HxW",
        help="image size in pixels instead of the source's; HxW squeezes pictures into that shape",
    )
    command.add_argument(
        "--labels", metavar="FILE", help="class names instead of the source's, one a line"
    )


def _size(text):
    """A side, or (height, width), for argparse; `ImageTransform` knows the bounds."""
    sides = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", text, re.ASCII)
    if sides is None:
        raise argparse.ArgumentTypeError(
            f"must be a number of pixels or HEIGHTxWIDTH, as in 256 or 192x320. Received: {text!r}"
        )
    height, width = sides.groups()
    return int(height) if width is None else (int(height), int(width))


def positive(text):
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1. Received: {text!r}")
    return int(text)


def print_note(line):
    """Prints a line for people on stderr, below the one that says how far the command is."""
    start = "\n" if sys.stderr.isatty() else ""
    print(f"{start}{one_line(line)}", file=sys.stderr)
