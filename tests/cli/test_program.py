"""The program: its usage and options, its light commands, and a process of its own."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_poolformer
from keras_poolformer import PoolFormerConfig

ROOT = Path(__file__).parents[2]
COMMANDS = ("presets", "summary", "convert", "predict", "evaluate", "export", "benchmark")


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


def test_help_and_version(run):
    status, printed, _ = run("--help")
    assert status == 0 and all(command in printed for command in COMMANDS)
    assert run("--version") == (0, f"{keras_poolformer.__version__}\n", [])


# ---------------------------------------------------------------------------------------
# presets, summary


def test_presets(run):
    status, printed, lines = run("presets", "--json")
    assert (status, lines) == (0, [])
    assert json.loads(printed) == keras_poolformer.list_presets()
    status, printed, _ = run("presets")
    rows = printed.splitlines()
    assert [row.split()[0] for row in rows] == list(keras_poolformer.list_presets())
    assert "poolformer_tiny_cifar10" in printed


def test_summary_of_a_released_variant_needs_no_weights(run):
    status, printed, lines = run("summary", "poolformer_s12", "--json")
    assert (status, lines) == (0, [])
    summary = json.loads(printed)
    assert summary["params"] == 11_915_176  # as timm counts them
    assert [stage["stride"] for stage in summary["stages"]] == [4, 8, 16, 32]
    assert [stage["width"] for stage in summary["stages"]] == [64, 128, 320, 512]
    assert [stage["blocks"] for stage in summary["stages"]] == [2, 2, 6, 2]
    head = 512 * 1000 + 1000 + 2 * 512
    assert sum(stage["params"] for stage in summary["stages"]) == 11_915_176 - head
    assert summary["transform"]["crop_pct"] == 0.9
    assert PoolFormerConfig(**summary["config"]).num_classes == 1000


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.keras"])
def test_summary_of_a_file(name, files, run):
    status, printed, lines = run("summary", files / name)
    assert (status, lines) == (0, [])
    first, _, *rows = printed.splitlines()
    assert "10,987 parameters, 3 classes, head norm_pool, 224 pixels" in first
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert sum(counts) == 10_987 and counts[-1] == 3 * 16 + 3 + 2 * 16


def test_summary_is_refused(refusal, tmp_path):
    (tmp_path / "x.pth").write_text("no weights")
    assert "no checkpoint" in refusal("summary", tmp_path / "x.pth")
    assert "nor a preset" in refusal("summary", "poolformer_xxl")


# ---------------------------------------------------------------------------------------
# As a program of its own


@pytest.fixture
def program(run_python):
    """Runs the command line in a process of its own."""
    code = "import sys; from keras_poolformer.cli import main; sys.exit(main())"
    return functools.partial(run_python, "-c", code)


@pytest.mark.parametrize("recipe", ["fp32", "saved_model"])
def test_the_terminal_shows_no_chatter(recipe, files, out, program, progress_line):
    done = program("export", files / "tiny.keras", "--recipe", recipe, "-o", out / "x")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert all(progress_line.match(line) for line in lines) and len(lines) == 2, done.stderr


def test_light_commands_start_without_tensorflow(tmp_path, program):
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')")
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
        "summary": ["--json"],
        "convert": ["--layout", "--head", "--num-classes", "--pool-size", "--activation"],
        "predict": ["--top-k", "--json"],
        "export": ["--recipe", "--inputs", "--outputs"],
    }
    documented["convert"] += ["--no-ema", "--sha256"]
    for command in ("convert", "export"):
        documented[command] += ["--output", "--overwrite", "--json"]
    for command, options in documented.items():
        printed = run(command, "--help")[1]
        assert [option for option in options if option not in printed] == []
