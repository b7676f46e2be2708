"""The two tables of README.md's front page, out of docs/accuracy.json and docs/benchmark.json.

    python -m benchmarks.front_page

Nothing is measured here. `make bench BENCH=--publish` and `python -m benchmarks.accuracy`, which
measure, write these tables too.
"""

import argparse
import sys

from benchmarks import readme
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.json_files import read_json

ACCURACY, BENCHMARK, PAGE = "docs/accuracy.json", "docs/benchmark.json", "README.md"
USES = {
    "fp32": "the reference",
    "fp16": "half the size; GPUs",
    "dynamic_int8": "8-bit weights, floats between: the first choice on CPUs",
    "dynamic_int4": "4-bit weights, floats between: the smallest",
    "int8": "integers throughout: NPUs; as `int8_micro`: microcontrollers",
}
# By the first part of the contestants' names in benchmarks/contestants.py.
RIVALS = {
    "ours": "**this package**",
    "keras": "plain Keras export",
    "litert-torch": "litert-torch, of timm's class",
    "onnxruntime": "ONNX Runtime, of timm's class",
    "torch-compiled": "PyTorch, timm's class, compiled",
    "torch-eager": "PyTorch, timm's class",
}
ARITHMETIC = ("fp32", "dynamic_int8", "int8")


def exports_table(accuracy, benchmark):
    """What each recipe costs and is for, as Markdown.

    Args:
        accuracy: Record of benchmarks/accuracy.py for the tiny preset.
        benchmark: Results of benchmarks/compare.py for one variant.
    """
    header = [
        "recipe", "what for", "s12, MB", "s12, ms", "tiny, MB", "top-1", "change of the logits",
    ]  # fmt: skip
    measured = {row["name"]: row for row in benchmark["contestants"]}
    rows = []
    for recipe, use in USES.items():
        s12, tiny = measured[f"ours-{recipe}"], accuracy["formats"][f"TFLite {recipe}"]
        rows.append(
            [
                f"`{recipe}`",
                use,
                f"{s12['bytes'] / 1e6:.1f}",
                f"{s12['ms']['value']:.1f}",
                f"{tiny['bytes'] / 1e6:.2f}",
                f"{tiny['top1']:.2f} %",
                f"{tiny['error']:.0e}",
            ]
        )
    return readme.markdown_table(header, rows)


def rivals_table(benchmark):
    """Milliseconds and size of the same network by other ways, as Markdown.

    Args:
        benchmark: Results of benchmarks/compare.py.
    """
    measured = {row["name"]: row for row in benchmark["contestants"]}
    header = ["ms, one image, one thread (MB)", "floats", "8-bit weights", "all integers"]
    rows = []
    for prefix, name in RIVALS.items():
        alone = measured.get(prefix)  # PyTorch has floats only, and no suffix
        cells = [measured.get(f"{prefix}-{arithmetic}") for arithmetic in ARITHMETIC]
        cells = [alone or cells[0], *cells[1:]]
        rows.append([name, *(_cell(row) for row in cells)])
    return readme.markdown_table(header, rows)


def _cell(row):
    return f"{row['ms']['value']:.1f} ({row['bytes'] / 1e6:.1f})" if row else "-"


def write():
    """Writes both tables into README.md."""
    accuracy, benchmark = (read_json(path) for path in (ACCURACY, BENCHMARK))
    readme.insert(PAGE, "exports", exports_table(accuracy, benchmark))
    readme.insert(PAGE, "rivals", rivals_table(benchmark))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.front_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return one_line_errors("front_page", lambda _: write(), parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
