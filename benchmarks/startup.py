"""CPU time that the command line takes to start, before and now, next to the floors.

    python -m benchmarks.startup --before REVISION

User and system time of whole processes, medians over rounds in which every command runs once, in
another order each. `--version`, `--help` and `predict` of a .tflite file run in an environment
with the extra "runtime", which holds neither Keras nor TensorFlow; `predict` of a preset runs in
one with the extra "demo". Both are made by pip in the folder of --environments, unless they are
there. What is measured is committed: HEAD, and REVISION as "before".
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import readme
from benchmarks.cpu_time import check_out, cpu_seconds, install, measure, variables_for
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.ratios import estimate, ratio
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.progress import Progress

BLOCK = readme.Block("docs/startup.json", "docs/startup.md", "startup")
ENVIRONMENTS = Path("build/startup")
PRESET = "poolformer_tiny_cifar10"
PHOTOGRAPH = "keras_poolformer/assets/photos/chelsea.jpg"
TFLITE = "tiny.tflite"
EXPORT = ("export", PRESET, "--recipe", "dynamic_int8", "--inputs", "pixels", "--outputs",
          "probabilities", "-o", TFLITE)  # fmt: skip
BEFORE, NOW = "before", "now"


@dataclass(frozen=True)
class Command:
    """Arguments of `keras-poolformer`, and what was promised of them.

    Args:
        name: Name in the table.
        extra: Extra whose environment it runs in.
        arguments: Arguments; a photograph's path is relative to the sources.
        seconds: Largest CPU time in seconds, or None.
        share: Largest share of the CPU time before, or None.
    """

    name: str
    extra: str
    arguments: tuple[str, ...]
    seconds: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Floor:
    """Python code that imports what a command cannot do without.

    Args:
        name: Name in the table.
        extra: Extra whose environment it runs in.
        code: Code of the process.
    """

    name: str
    extra: str
    code: str


COMMANDS = (
    Command("--version", "runtime", ("--version",), seconds=0.3),
    Command("--help", "runtime", ("--help",), seconds=0.3),
    Command("predict of a .tflite file", "runtime", ("predict", TFLITE, PHOTOGRAPH), seconds=0.6),
    Command("predict of a preset", "demo", ("predict", PRESET, PHOTOGRAPH), share=0.6),
)
FLOORS = (
    Floor("Python itself", "runtime", "pass"),
    Floor("NumPy, Pillow, LiteRT", "runtime",
          "import numpy, PIL.Image, ai_edge_litert.interpreter"),
    Floor("TensorFlow, Keras", "demo", "import tensorflow, keras"),
    Floor("TensorFlow, Keras; garbage collector off", "demo",
          "import atexit, gc; gc.disable(); atexit.register(gc.freeze); import tensorflow, keras"),
)  # fmt: skip


def run(options):
    """Measures, prints and, if asked to, publishes."""
    progress = Progress(["preparing", "running every command once", "measuring"])
    environments = options.environments.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        progress.start()
        revision = check_out(options.before, folder / BEFORE)
        check_out("HEAD", folder / NOW)
        for extra in ("runtime", "demo"):
            install(extra, environments / extra, folder / NOW)
        processes = _processes(environments, folder)
        cpu_seconds([environments / "demo/bin/keras-poolformer", *EXPORT], folder,
                    variables_for(folder / NOW))  # fmt: skip
        progress.start()
        measure(processes, 1, progress.advance)  # fills the caches of files
        progress.start()
        seconds = measure(processes, options.rounds, progress.advance)
    progress.finish()
    results = summarize(seconds, options.rounds, revision)
    readme.report(results, tables(results), targets(results), options.publish and BLOCK)


def _processes(environments, folder):
    """{(name, BEFORE or NOW), or name of a floor: function that runs it}."""

    def process(program, extra, arguments, sources=None):
        command = [environments / extra / "bin" / program, *arguments]
        return lambda: cpu_seconds(command, folder, variables_for(sources))

    processes = {}
    for command in COMMANDS:
        arguments = [str(folder / NOW / a) if a == PHOTOGRAPH else a for a in command.arguments]
        for when in (BEFORE, NOW):
            processes[command.name, when] = process(
                "keras-poolformer", command.extra, arguments, folder / when
            )
    for floor in FLOORS:
        processes[floor.name] = process("python", floor.extra, ["-c", floor.code])
    return processes


def summarize(seconds, rounds, revision):
    """Returns JSON-ready results.

    Args:
        seconds: What `measure` returns, by the names of `_processes`.
        rounds: Number of rounds.
        revision: Hash of the commit "before".
    """
    commands = [
        {
            "command": command.name,
            "extra": command.extra,
            BEFORE: estimate(seconds[command.name, BEFORE]).to_dict(),
            NOW: estimate(seconds[command.name, NOW]).to_dict(),
            "ratio": ratio(seconds[command.name, NOW], seconds[command.name, BEFORE]).to_dict(),
        }
        for command in COMMANDS
    ]
    floors = [
        {"floor": floor.name, "extra": floor.extra, **estimate(seconds[floor.name]).to_dict()}
        for floor in FLOORS
    ]
    return {
        "machine": describe_machine(),
        "busy_cores": busy_cores(),
        "rounds": rounds,
        "revision": revision,
        "commands": commands,
        "floors": floors,
    }


def tables(results):
    """Returns both tables as Markdown."""
    machine = results["machine"]
    commands = [
        [row["command"], row["extra"], *(_cell(row[key]) for key in (BEFORE, NOW, "ratio"))]
        for row in results["commands"]
    ]
    floors = [[row["floor"], row["extra"], _cell(row)] for row in results["floors"]]
    return (
        f"CPU seconds of a process, with the 95 % interval; medians of {results['rounds']} rounds "
        f"on {machine['cpu']}, {machine['cores']} cores. Before is commit "
        f"{results['revision'][:7]}.\n\n"
        + readme.markdown_table(["command", "extra", "before", "now", "now / before"], commands)
        + "\n"
        + readme.markdown_table(["floor: only importing", "extra", "CPU seconds"], floors)
    )


def _cell(row):
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def targets(results):
    """Returns [(what was promised, whether it holds), ...]."""
    rows = {row["command"]: row for row in results["commands"]}
    kept = []
    for command in COMMANDS:
        row = rows[command.name]
        if command.seconds is not None:
            holds = row[NOW]["value"] < command.seconds
            kept.append((f"{command.name} takes under {command.seconds} s of CPU", holds))
        if command.share is not None:
            holds = row["ratio"]["value"] < command.share
            kept.append((f"{command.name} takes under {command.share:.0%} of before", holds))
    return kept


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", required=True, metavar="REVISION",
                        help="earlier commit to compare HEAD with")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, help="at least 6 (9)")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, metavar="FOLDER",
                        help=f"folder of the two environments ({ENVIRONMENTS})")  # fmt: skip
    parser.add_argument("--publish", action="store_true",
                        help=f"write {BLOCK.record} and tables of {BLOCK.document}")  # fmt: skip
    return one_line_errors("startup", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
