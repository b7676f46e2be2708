"""The command line: `keras-poolformer COMMAND`, where --help lists the commands.

Results go to stdout, progress and errors to stderr. Exit status: 0 for success, 1 if some of
several images could not be read, 2 for input or options that cannot be used and for output that
cannot be written, 130 after Ctrl-C, 143 after SIGTERM.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from keras_poolformer import commands
from keras_poolformer.commands import COMMANDS
from keras_poolformer.support.errors import InputError, MissingExtraError, missing_extra_named
from keras_poolformer.support.garbage import skip_collection_at_exit
from keras_poolformer.support.interruptions import (
    Interrupted,
    interruptible,
    raise_if_interrupted,
    received,
)
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.quiet import brief_warnings, native_log_hidden
from keras_poolformer.support.streams import usable_streams
from keras_poolformer.support.version import __version__

PROGRAM = "keras-poolformer"


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stdout.flush()  # what --help prints must arrive too
        super().exit(status, message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    skip_collection_at_exit()
    with usable_streams(), interruptible():
        return _status(PROGRAM, _run, arguments)


def one_line_errors(program: str, handler: Callable[[Any], int | None], options: Any) -> int:
    """Calls a handler; turns its errors into one line on stderr and an exit status.

    Args:
        program: Name that the line starts with.
        handler: Function that does the work. It may return an exit status; None is 0.
        options: Argument of the handler.
    """
    with usable_streams(), interruptible(), native_log_hidden():
        return _status(program, handler, options)


def _run(arguments: Sequence[str] | None) -> int:
    # The commands are imported only here, so that Ctrl-C prints one line from the start.
    options = _parse(arguments)
    return one_line_errors(f"{PROGRAM} {options.command}", options.handler, options)


def _status(program: str, function: Callable[[Any], int | None], argument: Any) -> int:
    try:
        with missing_extra_named(), brief_warnings(program):
            status = function(argument) or 0
        raise_if_interrupted()
        sys.stdout.flush()
        return status
    except BaseException as error:
        # Interrupted code may raise anything, as imports do.
        stopped = error if isinstance(error, KeyboardInterrupt) else received()
        if stopped is not None:
            number = stopped.number if isinstance(stopped, Interrupted) else signal.SIGINT
            ending = "interrupted" if number == signal.SIGINT else "terminated"
            print(f"{program}: {ending}", file=sys.stderr)
            return 128 + number
        if isinstance(error, InputError | MissingExtraError | OSError):
            print(f"{program}: error: {one_line(error)}", file=sys.stderr)
            return 2
        raise


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse would name the program's --help, without the command's options
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _parser(arguments: Sequence[str]) -> _Parser:
    """The parser of the program; only the subcommands among its arguments have their options."""
    parser = _Parser(
        prog=PROGRAM,
        description="PoolFormer for Keras 3 and LiteRT, from PyTorch checkpoints.",
        epilog=f"{PROGRAM} COMMAND --help shows the options of a command and an example.",
    )
    parser.add_argument(
        "--version", action="version", version=__version__, help="print the version and exit"
    )
    group = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for name, purpose in COMMANDS.items():
        if name in arguments:
            importlib.import_module(f"{commands.__name__}.{name}").add_parser(group)
        else:
            group.add_parser(name, help=purpose)
    return parser
