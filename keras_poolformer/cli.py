"""The command line: `keras-poolformer COMMAND`, where --help lists the commands.

Results go to stdout, progress and errors to stderr. Status 0 means success, 1 that some
of several images could not be read, 2 that what was given cannot be used.
"""

import argparse
import os
import sys

from keras_poolformer.commands import (
    benchmark,
    card,
    convert,
    evaluate,
    explain,
    export,
    predict,
    prepare,
    presets,
    summary,
    train,
)
from keras_poolformer.commands.arguments import PROGRAM
from keras_poolformer.errors import InputError, MissingExtraError, missing_extra_named
from keras_poolformer.quiet import native_log_hidden, pillow_warnings_hidden
from keras_poolformer.version import __version__

# In the order of --help.
COMMANDS = (
    presets, summary, convert, predict, explain, evaluate, train, prepare, export, benchmark, card
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return one_line_errors(f"{PROGRAM} {options.command}", options.handler, options)


def one_line_errors(program, handler, options):
    """Calls a handler; turns what it raises into one line on stderr and an exit status.

    A handler may return an exit status itself; None is success.
    """
    try:
        with native_log_hidden():
            return _status(program, handler, options)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _status(program, handler, options):
    try:
        with missing_extra_named(), pillow_warnings_hidden():
            status = handler(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (InputError, MissingExtraError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"{program}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return status


def _parser():
    parser = _Parser(
        prog=PROGRAM, description="PoolFormer for Keras 3 and LiteRT, from PyTorch checkpoints."
    )
    parser.add_argument("--version", action="version", version=__version__)
    group = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for command in COMMANDS:
        command.add_parser(group)
    return parser
