"""Our training step next to Keras' own.

    make bench-train

Ratios are medians over alternating rounds, with the interval that benchmarks/ratios.py tells of.
"""

import argparse
import sys

from benchmarks import readme, train_step
from benchmarks.machine import busy_cores, describe_machine
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.progress import Progress

BLOCK = readme.Block("docs/training.json", "docs/training.md", "training")


def measure(rounds):
    """Measures all cases; returns JSON-ready results."""
    names = [f"training step, {case.name}" for case in train_step.CASES]
    progress = Progress(names)
    results = {"machine": describe_machine(), "busy_cores": busy_cores(), "rounds": rounds}
    results["steps"] = []
    for case in train_step.CASES:
        progress.start()
        results["steps"].append(train_step.compare(case, rounds))
    progress.finish()
    return results


def tables(results):
    """Returns the table as Markdown."""
    machine = results["machine"]
    columns = ["95 % interval"]
    steps = [_row(row) for row in results["steps"]]
    return (
        f"Milliseconds a training step, ours next to the step of Keras' own `fit`; medians of "
        f"{results['rounds']} alternating rounds on {machine['cpu']}, {machine['cores']} cores.\n\n"
        + readme.markdown_table(["training step", "ours", "Keras", "ours / Keras", *columns], steps)
    )


def _row(row):
    quotient = row["ratio"]
    return [
        row["case"],
        f"{row['ours']['value']:.0f}",
        f"{row['peer']['value']:.0f}",
        f"{quotient['value']:.3f}",
        f"{quotient['low']:.3f} to {quotient['high']:.3f}",
    ]


def targets(results):
    """Returns [(what was promised, whether it holds), ...]."""
    steps = all(row["ratio"]["low"] <= train_step.TARGET for row in results["steps"])
    return [(f"a step costs at most {train_step.TARGET} of Keras' own", steps)]


def run(options):
    """Measures, prints and, if asked to, publishes."""
    results = measure(options.rounds)
    readme.report(results, tables(results), targets(results), options.publish and BLOCK)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=11, help="at least 6 (11)")
    parser.add_argument("--publish", action="store_true",
                        help=f"write {BLOCK.record} and the table of docs/training.md")  # fmt: skip
    return one_line_errors("training", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
