"""The program: its usage and options, its light commands, and a process of its own."""

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys

import pytest

import keras_poolformer.commands
from tests.helpers import ROOT, run_python

COMMANDS = (
    "presets", "summary", "convert", "predict", "explain", "evaluate", "train", "prepare",
    "export", "benchmark", "card",
)  # fmt: skip


# ---------------------------------------------------------------------------------------
# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("foo",),
        ("convert",),
        ("convert", "x.pth"),
        ("convert", "x.pth", "-o", "x.keras", "--num-classes", "three"),
        ("predict", "x.keras"),
        ("predict", "x.keras", "x.png", "--top-k", "0"),
        ("presets", "--foo"),
    ],
)
def test_bad_usage_is_one_line(arguments, run):
    status, printed, (line,) = run(*arguments)
    assert (status, printed) == (2, "")
    assert ": error: " in line and "--help" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, run):
    status, printed, lines = run(command, "--help")
    assert (status, lines) == (0, [])
    assert f"example: keras-poolformer {command}" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_default_in_one_style(command):
    group = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"keras_poolformer.commands.{command}").add_parser(group)
    for action in group.choices[command]._actions:
        text = action.help or ""
        takes_value = action.nargs != 0
        if takes_value and action.default not in (None, "", [], argparse.SUPPRESS):
            assert "(default: " in text, action.dest
        assert text and not text.endswith("."), action.dest


def test_every_module_with_a_parser_is_a_subcommand():
    modules = (ROOT / "keras_poolformer/commands").glob("*.py")
    found = {m.stem for m in modules if "\ndef add_parser(" in m.read_text(encoding="utf-8")}
    assert found == set(COMMANDS)


def test_a_file_with_the_name_of_a_subcommand(run):
    status, _, (line,) = run("predict", "train", "export")
    assert status == 2 and line.startswith("keras-poolformer predict: error: ")


def test_unknown_options_name_the_commands_own_help(run):
    status, _, (line,) = run("presets", "--\x1b[31mfoo")
    assert (status, line) == (
        2,
        r"keras-poolformer presets: error: unrecognized arguments: --\x1b[31mfoo "
        "(see keras-poolformer presets --help)",
    )


def test_help_and_version(run):
    status, printed, _ = run("--help")
    assert status == 0 and all(command in printed for command in COMMANDS)
    assert tuple(keras_poolformer.commands.COMMANDS) == COMMANDS
    assert run("--version") == (0, f"{keras_poolformer.__version__}\n", [])


# ---------------------------------------------------------------------------------------
# presets


def test_presets(run):
    status, printed, lines = run("presets", "--json")
    assert (status, lines) == (0, [])
    assert json.loads(printed) == keras_poolformer.list_presets()
    status, printed, _ = run("presets")
    rows = printed.splitlines()
    assert [row.split()[0] for row in rows] == list(keras_poolformer.list_presets())
    assert "poolformer_tiny_cifar10" in printed


# ---------------------------------------------------------------------------------------
# As a program of its own


@pytest.fixture
def program():
    """Runs the command line in a process of its own."""
    code = "import sys; from keras_poolformer.cli import main; sys.exit(main())"
    return functools.partial(run_python, "-c", code)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fp32", "saved_model"])
def test_the_terminal_shows_no_chatter(recipe, files, out, program, progress_line):
    done = program("export", files / "tiny.keras", "--recipe", recipe, "-o", out / "x")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert all(progress_line.match(line) for line in lines) and len(lines) == 2, done.stderr


def test_light_commands_start_without_tensorflow(tmp_path, program):
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text(
            "raise RuntimeError('imported')", encoding="utf-8", newline="\n"
        )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    for arguments in (("presets",), ("export", "--help"), ("summary", "nosuch")):
        done = program(*arguments, env=environment)
        assert "imported" not in done.stderr
        assert done.returncode == (2 if "nosuch" in arguments else 0)


def test_a_closed_pipe_is_no_error():
    code = "from keras_poolformer.cli import main; raise SystemExit(main(['presets']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # as `| head -0` does
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_options_are_the_documented_ones(run):
    """The words that users and scripts rely on."""
    documented = {
        "presets": ["--json"],
        "summary": ["--size", "--json"],
        "convert": ["--layout", "--head", "--num-classes", "--pool-size", "--activation"],
        "predict": ["--top-k", "--json"],
        "explain": ["--class", "--layer"],
        "export": ["--recipe", "--inputs", "--outputs"],
    }
    documented["convert"] += ["--no-ema", "--sha256"]
    for command in ("convert", "explain", "export"):
        documented[command] += ["--output", "--overwrite", "--json"]
    for command, options in documented.items():
        printed = run(command, "--help")[1]
        assert [option for option in options if option not in printed] == []
