"""Draws the plots of docs/ again, out of the records next to them; nothing is measured.

python -m benchmarks.pictures
"""

import argparse
import sys
from pathlib import Path

from benchmarks import family, paired_training, plot
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.json_files import read_json
from keras_poolformer.training.curve import draw_curve

BENCHMARK = "docs/benchmark.json"
RUNS = ("docs/training_cifar10", "docs/training_convformer", "docs/training_nuclei")


def write():
    """Draws every plot whose record is in docs/."""
    plot.draw(read_json(BENCHMARK), "docs/benchmark.png", "poolformer_s12")
    family.draw(read_json(family.RECORD), family.PICTURE)
    if Path(paired_training.RECORD).exists():
        paired_training.draw(read_json(paired_training.RECORD), paired_training.PICTURE)
    for run in RUNS:
        draw_curve(run)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return one_line_errors("pictures", lambda _: write(), parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
