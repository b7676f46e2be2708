"""The programs that documents mention: whether a command line is right, and running it.

`keras-poolformer` and `python -m` run in this process: a new one would import TensorFlow for
six seconds. Every `main` of ours parses its arguments and hands them to `one_line_errors`.
"""

import configparser
import contextlib
import functools
import importlib
import os
import re
import sys
from unittest import mock

from tests.docs.reading import WrongDocument
from tests.helpers import ROOT, make_words

OURS = ("keras_poolformer", "conversion", "benchmarks")
VARIABLE = re.compile(r"[A-Z_]+=")


class Failed(WrongDocument):
    """A program ended with another status than 0; it has said why."""


def check(words, mention=False):
    """Raises WrongDocument unless this command could be typed here, whether it runs or not.

    Args:
        words: of the command line.
        mention: whether a sentence mentions it: then a module's arguments may be incomplete.

    Returns:
        Whether the program is known.
    """
    words = _without_variables(words)
    module, arguments = _module(words)
    if module:
        (_check_options if mention else _check_arguments)(module, arguments)
    elif words[0] == "make":
        _check_make(words[1:])
    elif words[:2] == ["pip", "install"]:
        _check_pip(words[2:])
    elif words[0] == "pytest":
        _check_pytest(words[1:])
    else:
        return False
    return True


def run(words):
    """Runs a command that `check` let pass; raises WrongDocument where its status is not 0.

    What continuous integration runs anyway is not run once more: targets of make, which it must
    reach, tests, and `pip install`, which `make dist` tries.
    """
    variables = dict(word.split("=", 1) for word in words if VARIABLE.match(word))
    module, arguments = _module(_without_variables(words))
    if module:
        with mock.patch.dict(os.environ, variables):
            status = _main(module, arguments)
        if status:
            raise Failed(f"status {status}")
    elif words[0] == "make":
        for target in _targets(words[1:]) - _reached():
            raise WrongDocument(f".ci/run does not reach `make {target}`: say why it is not run")


def _without_variables(words):
    """What follows NAME=VALUE before a program."""
    while words and VARIABLE.match(words[0]):
        words = words[1:]
    return words or ["(nothing)"]


def _module(words):
    """(module of ours whose `main` a command runs, its arguments), or (None, ())."""
    if words[0] == "keras-poolformer":
        return importlib.import_module("keras_poolformer.cli"), words[1:]
    if words[0] not in ("python", "python3") or words[1:2] != ["-m"] or len(words) < 3:
        return None, ()
    name = words[2]
    if name.partition(".")[0] not in OURS:
        return None, ()
    try:
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"{name}.__main__")
    except ModuleNotFoundError:
        raise WrongDocument(f"there is no module {name}") from None
    return module, words[3:]


def _main(module, arguments):
    """The exit status of a program."""
    try:
        with mock.patch.object(sys, "argv", [module.__name__, *arguments]):
            return module.main()
    except SystemExit as stop:  # how argparse ends
        return stop.code


def _check_arguments(module, arguments):
    with mock.patch.object(module, "one_line_errors", lambda *_: 0):
        if _main(module, arguments):
            raise Failed("the command line is not understood")


def _check_options(module, arguments):
    """Each --option must be one of the subcommand's; words in capitals stand for anything."""
    if not arguments or arguments[0].isupper():
        return
    subcommand = [] if arguments[0].startswith("-") else arguments[:1]
    printed = _Printed()
    with contextlib.redirect_stdout(printed):
        status = _main(module, [*subcommand, "--help"])
    known = set(re.findall(r"--?[a-zA-Z][\w-]*", printed.text))
    given = {word for word in arguments if re.match(r"--?[a-zA-Z]", word)}
    if status or not given <= known:
        raise WrongDocument(f"unknown: {' '.join(sorted(given - known)) or arguments[0]}")


class _Printed:
    """A file that keeps what is written to it."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        """Nothing to do."""


# ---------------------------------------------------------------------------------------
# make, pip, pytest


@functools.cache
def _rules():
    """{target: what it needs} of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([\w-]+):(?!=)([^#\n]*)", text, flags=re.MULTILINE)
    return {target: set(needs.split()) for target, needs in rules}


def _targets(arguments):
    return {word for word in arguments if "=" not in word and not word.startswith("-")}


@functools.cache
def _reached():
    """The targets that continuous integration makes, directly or on the way."""
    waiting = set(make_words((ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    reached = set()
    while waiting:
        reached |= waiting
        waiting = {need for target in waiting for need in _rules()[target]} & set(_rules())
        waiting -= reached
    return reached


def _check_make(arguments):
    for target in _targets(arguments) - set(_rules()):
        raise WrongDocument(f"the Makefile has no target {target}")


def _check_pip(arguments):
    """Of this package the extras must exist; of others, some extra must ask for them.

    Or tests/hub/requirements.txt, for KerasHub, of which no extra can leave out the requirements.
    """
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    apart = (ROOT / "tests" / "hub" / "requirements.txt").read_text(encoding="utf-8")
    lines = "\n".join([*extras.values(), apart])
    required = re.findall(r"^[\w.-]+", lines, flags=re.MULTILINE)
    for word in _targets(arguments):
        ours = re.fullmatch(r"(?:keras-poolformer|\.)(?:\[([\w,.-]+)\])?", word)
        named = set((ours[1] or "").split(",")) - {"", "..."} if ours else set()
        if named - set(extras):
            raise WrongDocument(f"setup.cfg has no extra {', '.join(named - set(extras))}")
        name = word.partition("==")[0]
        if not ours and not word.startswith("http") and name not in required:
            raise WrongDocument(f"no extra in setup.cfg asks for {word}")


def _check_pytest(arguments):
    for word in (word for word in arguments if word.startswith("tests")):
        check_test(word)


def check_test(address):
    """Raises WrongDocument unless there is a test path::name, or a file of tests."""
    path, _, name = address.partition("::")
    if not (ROOT / path).exists():
        raise WrongDocument(f"there is no {path}")
    if name and f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8"):
        raise WrongDocument(f"{path} has no {name}")
