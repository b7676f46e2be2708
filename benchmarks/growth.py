"""How time and memory grow with the network and with the image: a table and a picture.

    python -m benchmarks.growth [--publish]

poolformer_s12 to m48 at 224 pixels, and s12 from 224 to 448, with random weights, one image, one
thread, all files in turn. Time is fitted as a power of the multiply-accumulates, in log-log, over
all of them; an exponent of 1 is time that grows as the work does. Peak memory is above the import
of LiteRT, of a fresh process.
"""

import argparse
import sys

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks import readme
from benchmarks.family_speed import measure_networks
from benchmarks.tables import QUIET, processor
from keras_poolformer import model_stats
from keras_poolformer.cli import one_line_errors
from keras_poolformer.images.drawing import BLUE, ORANGE, plot_style
from keras_poolformer.variants import VARIANTS

PAGE, RECORD, PICTURE = "docs/export.md", "docs/growth.json", "docs/growth.png"
RECIPES = ("fp32", "dynamic_int8")
COLORS = dict(zip(RECIPES, (BLUE, ORANGE), strict=True))
NETWORKS = {
    f"{variant} {size}": (VARIANTS[f"poolformer_{variant}"], size)
    for variant, size in (
        ("s12", 224), ("s24", 224), ("s36", 224), ("m36", 224), ("m48", 224),
        ("s12", 288), ("s12", 352), ("s12", 448),
    )
}  # fmt: skip
ROUNDS, CALLS = 7, 3
TARGET = 1.05  # of the exponent


def measure(networks, rounds, calls, folder):
    """Counts and measures networks.

    Args:
        networks: {name: (architecture, side of the images in pixels)}.
        rounds: Number of rounds; each file is measured once per round.
        calls: Number of timed calls per round.
        folder: Folder for all files that are made.

    Returns:
        JSON-ready: what `measure_networks` returns, "macs", which is {name: multiply-accumulates
        of an image}, and "exponents", which is {recipe: that of time in them}.
    """
    macs = {name: model_stats(config, size).macs for name, (config, size) in networks.items()}
    measured = measure_networks(networks, rounds, calls, folder, RECIPES)
    exponents = {
        recipe: exponent(
            list(macs.values()),
            [row[recipe]["ms"]["value"] for row in measured["variants"].values()],
        )
        for recipe in RECIPES
    }
    return measured | {"macs": macs, "exponents": exponents}


def exponent(work, cost):
    """Slope of the straight line through the logarithms."""
    return float(np.polyfit(np.log(work), np.log(cost), 1)[0])


def table(record):
    """Time and memory of every network, and the exponents, as Markdown.

    Args:
        record: What `measure` returned.
    """
    header = ["network, pixels", "GMACs"]
    header += [f"`{recipe}`, {unit}" for unit in ("ms", "peak MB") for recipe in RECIPES]
    rows = [
        [
            name,
            f"{record['macs'][name] / 1e9:.2f}",
            *(f"{row[recipe]['ms']['value']:.1f}" for recipe in RECIPES),
            *(_megabytes(row[recipe]["peak_memory_bytes"]) for recipe in RECIPES),
        ]
        for name, row in record["variants"].items()
    ]
    exponents = record["exponents"]
    return (
        f"One image, one thread; medians of {record['rounds']} rounds of {record['calls']} calls, "
        f"all files in turn, on {processor(record['machine'])}. Time grows as the "
        "multiply-accumulates to the power of "
        f"{' and '.join(f'{exponents[recipe]:.2f} ({recipe})' for recipe in RECIPES)}.\n\n"
        f"{readme.markdown_table(header, rows)}"
    )


def _megabytes(count):
    return "-" if count is None else f"{count / 1e6:.0f}"


def draw(record, path):
    """Draws time and memory against multiply-accumulates.

    Args:
        record: What `measure` returned.
        path: PNG file to write.
    """
    with mpl.rc_context(plot_style()):
        figure = Figure(figsize=(12, 4.5), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        time, memory = figure.subplots(1, 2)
        for recipe in RECIPES:
            label = f"{recipe}, exponent {record['exponents'][recipe]:.2f}"
            _draw(time, record, recipe, lambda row: row["ms"]["value"], label)
            _draw(memory, record, recipe, lambda row: row["peak_memory_bytes"] / 1e6, recipe)
        time.set_ylabel("milliseconds an image, one thread")
        memory.set_ylabel("peak memory in MB")
        for axes in (time, memory):
            _style(axes)
        canvas.print_png(path)


def _draw(axes, record, recipe, value, label):
    """Larger networks are joined, and so are larger images, the latter with open markers."""
    names = list(record["variants"])
    larger_images = [name for name in names if name.startswith(names[0].split()[0])]
    larger_networks = [names[0], *(name for name in names if name not in larger_images)]
    for group, style in ((larger_networks, "o-"), (larger_images, "o--")):
        points = [
            (record["macs"][name] / 1e9, value(record["variants"][name][recipe])) for name in group
        ]
        fill = COLORS[recipe] if style == "o-" else "white"
        shown = label if style == "o-" else f"{label.split(',')[0]}, larger images"
        axes.plot(
            *zip(*points, strict=True), style, color=COLORS[recipe], markerfacecolor=fill,
            label=shown,
        )  # fmt: skip


def _style(axes):
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("multiply-accumulates of an image, 10^9")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper left")


def run(options):
    """Measures, prints, draws, and publishes if that is asked for."""
    record = measure(NETWORKS, options.rounds, options.calls, options.output)
    print(table(record))
    for recipe, found in record["exponents"].items():
        verdict = "met" if found <= TARGET else "not met"
        print(f"{recipe}: exponent {found:.3f} <= {TARGET}: {verdict}")
    if (record["busy_cores"] or 0) > QUIET:
        print(f"NOT QUIET: others kept {record['busy_cores']:.2f} cores busy", file=sys.stderr)
    if options.publish:
        readme.write_record(RECORD, record)
        draw(record, PICTURE)
        readme.insert(PAGE, "growth", table(record))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="in a round; default: %(default)s")
    parser.add_argument(
        "--output", default="build/bench-growth", help="folder; default: %(default)s"
    )
    parser.add_argument("--publish", action="store_true", help=f"write {RECORD} and {PAGE}")
    return one_line_errors("growth", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
