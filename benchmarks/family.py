"""Which model of the family to pick: accuracy beside cost.

    python -m benchmarks.family [--publish]

Accuracy is the authors'; parameters and multiply-accumulates are counted. Nothing is timed.
"""

import argparse
import json
import sys

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import readme
from keras_poolformer import model_stats
from keras_poolformer.cli import one_line_errors
from keras_poolformer.families import family_of
from keras_poolformer.sources.released import RELEASES
from keras_poolformer.support.files import replacing
from keras_poolformer.support.progress import Progress
from keras_poolformer.variants import VARIANTS

PAGE, RECORD, PICTURE = "docs/family.md", "docs/family.json", "docs/family.png"
SIZE = 224
TAGS = ("in1k", "in1k_384", "in21k_in1k", "in21k_in1k_384")  # of the released weights


def run(options):
    """Counts, and writes the record, the table and the picture."""
    progress = Progress([f"counting {name}" for name in VARIANTS])
    record = {}
    for name in VARIANTS:
        progress.start()
        record[name] = _counted(name)
    progress.finish()
    print(table(record))
    if options.publish:
        with replacing(RECORD, overwrite=True) as written:
            written.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        draw(record, PICTURE)
        readme.insert(PAGE, "models", table(record))


def _counted(name):
    """What is known of a variant without running it; accuracy by the authors."""
    stats = model_stats(VARIANTS[name], SIZE)
    top1 = {
        preset.removeprefix(f"{name}_"): release.top1
        for preset, release in RELEASES.items()
        if release.variant == name and release.top1 is not None
    }
    return {
        "family": family_of(VARIANTS[name]).name,
        "parameters": stats.params,
        "macs": stats.macs,
        "top1": top1,
    }


def table(record):
    """Accuracy and cost of every variant, as Markdown.

    Args:
        record: What `run` recorded.
    """
    header = [
        "variant", "parameters", f"MACs at {SIZE}", "top-1", "at 384", "with ImageNet-21k",
        "both",
    ]  # fmt: skip
    rows = [
        [
            f"`{name}`",
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['macs'] / 1e9:.1f} G",
            *(f"{row['top1'][tag]:.1f} %" if tag in row["top1"] else "-" for tag in TAGS),
        ]
        for name, row in record.items()
    ]
    return readme.markdown_table(header, rows)


def draw(record, path):
    """Draws accuracy against cost, a line for each family.

    Args:
        record: What `run` recorded.
        path: PNG file to write.
    """
    families = {}
    for row in record.values():
        point = (row["macs"] / 1e9, row["top1"]["in1k"])
        families.setdefault(row["family"], []).append(point)
    with mpl.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        for family, points in families.items():
            axes.plot(*zip(*points, strict=True), "o-", label=family)
        axes.set_xlabel(f"multiply-accumulates of an image of {SIZE} pixels, 10^9")
        axes.set_ylabel("top-1 on ImageNet-1k, % (the authors')")
        axes.set_title(f"Trained on ImageNet-1k alone, at {SIZE} pixels")
        axes.grid(color="0.9")
        axes.legend(loc="lower right")
        canvas.print_png(path)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.family",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD}, {PICTURE} and {PAGE}"
    )
    return one_line_errors("family", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
