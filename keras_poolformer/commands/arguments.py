"""What the parsers of several subcommands share.

How --help reads, in every subcommand:

- An argument that takes a value is described by a noun phrase that says what the value is
  ("number of classes to show"); a flag by what it does ("replace an existing file"). Lowercase,
  no period at the end.
- A default is shown as "(default: X)": `%(default)s` where argparse knows it, words where it is
  computed ("(default: the source's)"). Flags and required arguments show none.
- A fixed set of values is `choices`, which argparse lists as {a,b}. Where other code checks the
  value, the text lists the names: "layout of the tensor names: sail, timm or hf".
- The metavar says what to type: N, FILE, FOLDER, PATH (a file or a folder), NAME, OWNER/NAME.
- The last line is an example that works as it stands.
"""

import argparse
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeAlias

from keras_poolformer.checkpoints.layouts import LAYOUTS
from keras_poolformer.commands import COMMANDS
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import ACTIVATIONS, CLASSIFIER_HEADS, NORMS

PROGRAM = "keras-poolformer"
HELP_WIDTH = 80  # columns of the description

# argparse does not name the type that `add_subparsers` returns.
CommandGroup: TypeAlias = "argparse._SubParsersAction[Any]"


def add_command(
    group: CommandGroup,
    name: str,
    handler: Callable[[argparse.Namespace], int | None],
    example: str,
) -> argparse.ArgumentParser:
    """Adds a subcommand; returns its parser.

    Args:
        group: Subcommands of the program.
        name: Word that selects the subcommand, one of `COMMANDS`.
        handler: Function that does the work. It may return an exit status; None is 0.
        example: Arguments of an example, from the name on.
    """
    purpose = COMMANDS[name]
    description = textwrap.fill(f"{purpose[0].upper()}{purpose[1:]}.", HELP_WIDTH)
    command = group.add_parser(
        name,
        help=purpose,
        description=description,
        epilog=f"example: {PROGRAM} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # keeps the example on one line
    )
    command.set_defaults(handler=handler, parser=command)
    return command


def add_source(command: argparse.ArgumentParser) -> None:
    """Adds SOURCE."""
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint file or folder, or hf://OWNER/NAME"
    )


def add_checkpoint_options(command: argparse.ArgumentParser) -> None:
    """Adds the options for what a checkpoint may not say about its network."""
    command.add_argument(
        "--layout",
        help=f"naming scheme of the tensors: {', '.join(LAYOUTS)} (default: inferred)",
    )
    command.add_argument(
        "--architecture",
        metavar="NAME",
        help="variant whose token mixers and norm a checkpoint has, where its tensors fit several: "
        "identityformer_s12, poolformerv2_s12, ... (default: the source's)",
    )
    command.add_argument(
        "--head",
        help=f"kind of classifier: {' or '.join(CLASSIFIER_HEADS)} (default: the source's)",
    )
    command.add_argument(
        "--num-classes",
        type=int,
        metavar="N",
        help="number of classes; another one than the checkpoint's gives a new, untrained head",
    )
    command.add_argument("--backbone", action="store_true", help="build the network without a head")
    command.add_argument(
        "--pool-size",
        type=int,
        metavar="N",
        help="window of the pooling mixer (default: the source's, else 3)",
    )
    command.add_argument(
        "--activation",
        metavar="NAME",
        help=f"activation of the MLPs: {', '.join(ACTIVATIONS)} (default: the source's, else gelu)",
    )
    command.add_argument(
        "--norm",
        choices=NORMS,
        help="norm of the blocks; weights fit both (default: the source's, else group_norm)",
    )
    command.add_argument(
        "--no-ema", action="store_true", help="load the raw weights instead of their average (EMA)"
    )
    command.add_argument(
        "--sha256", metavar="HEX", help="expected checksum of the file; any other is rejected"
    )


def checkpoint_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `load_model` for what a checkpoint does not say."""
    names = ("head", "num_classes", "pool_size", "activation", "norm")
    given = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    return {
        "backbone": options.backbone,
        "overrides": _of_architecture(options.architecture) | given,
        "layout": options.layout,
        "use_ema": not options.no_ema,
        "sha256": options.sha256,
    }


def _of_architecture(name: str | None) -> dict[str, Any]:
    """The fields that a variant's name tells and the tensors of a checkpoint do not."""
    if name is None:
        return {}
    variant = MetaFormerConfig.from_variant(name)
    return {"token_mixers": variant.token_mixers, "norm": variant.norm}


def add_output(command: argparse.ArgumentParser, purpose: str) -> None:
    """Adds --output, --overwrite and --json."""
    command.add_argument("-o", "--output", required=True, metavar="PATH", help=purpose)
    command.add_argument("--overwrite", action="store_true", help="replace an existing output")
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def add_overrides(command: argparse.ArgumentParser) -> None:
    """Adds --size and --labels."""
    command.add_argument(
        "--size",
        type=_size,
        metavar="N|HxW",
        help="image size in pixels; HxW stretches images to that shape (default: the source's)",
    )
    command.add_argument(
        "--labels",
        metavar="FILE",
        help="text file of class names, one a line (default: the source's)",
    )


def add_tiles(command: argparse.ArgumentParser) -> None:
    """Adds --tiles."""
    command.add_argument(
        "--tiles",
        action="store_true",
        help="keep the aspect ratio and details of large images: a segmenter's .tflite file works "
        "through them in overlapping tiles",
    )


def _size(text: str) -> int | tuple[int, int]:
    """A side, or (height, width), for argparse; `ImageTransform` knows the bounds."""
    sides = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", text, re.ASCII)
    if sides is None:
        raise argparse.ArgumentTypeError(
            f"must be a number of pixels or HEIGHTxWIDTH, as in 256 or 192x320. Received: {text!r}"
        )
    height, width = sides.groups()
    return int(height) if width is None else (int(height), int(width))


def positive(text: str) -> int:
    """Returns a whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1. Received: {text!r}")
    return int(text)
