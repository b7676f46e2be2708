"""Which model of the family to pick: accuracy next to cost.

    python -m benchmarks.family [--publish]

Accuracy is the authors'; parameters and multiply-accumulates are counted; file sizes and latency
are measured for the smallest variant of each family, as all 28 would take hours.
"""

import argparse
import sys

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import readme
from benchmarks.family_speed import RECIPES, measure_networks
from benchmarks.tables import QUIET, processor
from keras_poolformer import model_stats
from keras_poolformer.cli import one_line_errors
from keras_poolformer.families import family_of
from keras_poolformer.images.drawing import GRAY, plot_style
from keras_poolformer.sources.released import RELEASES
from keras_poolformer.support.progress import Progress
from keras_poolformer.variants import VARIANTS

PAGE, RECORD, PICTURE = "docs/family.md", "docs/family.json", "docs/family.png"
SIZE = 224
TAGS = ("in1k", "in1k_384", "in21k_in1k", "in21k_in1k_384")  # of the released weights
SMALLEST = (
    "poolformer_s12", "poolformerv2_s12", "identityformer_s12", "randformer_s12",
    "convformer_s18", "caformer_s18",
)  # fmt: skip
ROUNDS, CALLS = 9, 20
MARKERS = dict(zip(RECIPES, "os^D", strict=True))


def run(options):
    """Counts and measures, and writes the record, the tables and the picture."""
    networks = {name: (VARIANTS[name], SIZE) for name in SMALLEST}
    speed = measure_networks(networks, options.rounds, options.calls, options.output)
    record = {"variants": _count(), "speed": {"size": SIZE, **speed}}
    print(table(record))
    print(speed_table(record))
    if (speed["busy_cores"] or 0) > QUIET:
        print(f"NOT QUIET: others kept {speed['busy_cores']:.2f} cores busy", file=sys.stderr)
    if options.publish:
        readme.write_record(RECORD, record)
        draw(record, PICTURE)
        readme.insert(PAGE, "models", table(record))
        readme.insert(PAGE, "speed", speed_table(record))


def _count():
    """{variant: what is known of it without running it}, accuracy by the authors."""
    progress = Progress([f"counting {name}" for name in VARIANTS])
    counted = {}
    for name, config in VARIANTS.items():
        progress.start()
        stats = model_stats(config, SIZE)
        top1 = {
            preset.removeprefix(f"{name}_"): release.top1
            for preset, release in RELEASES.items()
            if release.variant == name and release.top1 is not None
        }
        counted[name] = {
            "family": family_of(config).name,
            "parameters": stats.params,
            "macs": stats.macs,
            "top1": top1,
        }
    progress.finish()
    return counted


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
        for name, row in record["variants"].items()
    ]
    return readme.markdown_table(header, rows)


def speed_table(record):
    """File size and latency of the smallest variants in each recipe, as Markdown.

    Args:
        record: What `run` recorded.
    """
    speed = record["speed"]
    header = ["variant", "top-1", *(f"`{recipe}`" for recipe in RECIPES)]
    rows = [
        [
            f"`{name}`",
            f"{record['variants'][name]['top1']['in1k']:.1f} %",
            *(f"{row[r]['ms']['value']:.1f} ms, {row[r]['bytes'] / 1e6:.1f} MB" for r in RECIPES),
        ]
        for name, row in speed["variants"].items()
    ]
    return (
        "What the smallest of each family costs in each recipe of `export`: "
        f"{speed['size']} pixels, one image, one thread; medians of {speed['rounds']} rounds of "
        f"{speed['calls']} calls, all files in turn, on {processor(speed['machine'])}. The "
        "weights are random, which changes neither size nor speed.\n\n"
        f"{readme.markdown_table(header, rows)}"
    )


def draw(record, path):
    """Draws accuracy against what is counted, and against what was measured.

    Args:
        record: What `run` recorded.
        path: PNG file to write.
    """
    with mpl.rc_context(plot_style()):
        figure = Figure(figsize=(12, 4.5), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        counted, measured = figure.subplots(1, 2, sharey=True)
        colors = _draw_counted(counted, record["variants"])
        _draw_measured(measured, record, colors)
        counted.set_ylabel("top-1 on ImageNet-1k, % (the authors')")
        for axes in (counted, measured):
            axes.legend(loc="lower right")
        canvas.print_png(path)


def _draw_counted(axes, variants):
    """A line for each family; returns {family: color}."""
    families = {}
    for row in variants.values():
        point = (row["macs"] / 1e9, row["top1"]["in1k"])
        families.setdefault(row["family"], []).append(point)
    axes.set_xlabel(f"multiply-accumulates of an image of {SIZE} pixels, 10^9")
    axes.set_title(f"Trained on ImageNet-1k alone, at {SIZE} pixels")
    return {
        family: axes.plot(*zip(*points, strict=True), "o-", label=family)[0].get_color()
        for family, points in families.items()
    }


def _draw_measured(axes, record, colors):
    """A row of points for each smallest variant, one for each recipe."""
    for name, recipes in record["speed"]["variants"].items():
        row = record["variants"][name]
        top1, color = row["top1"]["in1k"], colors[row["family"]]
        milliseconds = [recipes[recipe]["ms"]["value"] for recipe in RECIPES]
        axes.plot(milliseconds, [top1] * len(RECIPES), "-", color=color, linewidth=1)
        for recipe, value in zip(RECIPES, milliseconds, strict=True):
            axes.plot(value, top1, MARKERS[recipe], color=color)
        slowest = (max(milliseconds), top1)
        axes.annotate(name, slowest, (8, 0), textcoords="offset points", va="center")
    for recipe, marker in MARKERS.items():
        axes.plot([], [], marker, color=GRAY, label=recipe)
    axes.set_xlim(0, 1.35 * axes.get_xlim()[1])  # room for the names
    axes.set_xlabel("milliseconds an image, one thread")
    axes.set_title("The smallest of each family, in each recipe")


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.family",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="in a round; default: %(default)s")
    parser.add_argument(
        "--output", default="build/bench-family", help="folder; default: %(default)s"
    )
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD}, {PICTURE} and {PAGE}"
    )
    return one_line_errors("family", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
