"""Which model of the family to pick: accuracy, cost, file size and speed, side by side.

    python -m benchmarks.family [--publish]

Accuracy is the authors'. Parameters and multiply-accumulates are counted. The smallest network of
each family is exported with random weights in every recipe, and all files are timed in turn on
one thread.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import readme
from benchmarks.build import randomize
from benchmarks.machine import describe_machine
from keras_poolformer import (
    PoolFormerImageClassifier,
    export_tflite,
    model_stats,
    sample_photographs,
)
from keras_poolformer.cli import one_line_errors
from keras_poolformer.families import family_of
from keras_poolformer.runtime.benchmark import benchmark_files
from keras_poolformer.sources.released import RELEASES
from keras_poolformer.support.files import replacing
from keras_poolformer.support.progress import Progress
from keras_poolformer.variants import VARIANTS

PAGE, RECORD, PICTURE = "docs/family.md", "docs/family.json", "docs/family.png"
SIZE = 224
SMALLEST = (
    "poolformer_s12", "poolformerv2_s12", "identityformer_s12", "randformer_s12",
    "convformer_s18", "caformer_s18",
)  # fmt: skip
RECIPES = ("fp32", "fp16", "dynamic_int8", "int8")
RUNS = 50
CALIBRATION_IMAGES = 4  # of int8, whose speed does not depend on them


def run(options):
    """Counts, measures, and writes the record, the tables and the picture."""
    names = options.variants.split(",")
    progress = Progress([f"exporting {name}" for name in names])
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in names:
            progress.start()
            files |= _export(name, Path(folder), progress)
        progress.finish()
        measured = _measure(files, options.runs)
    record = {
        "machine": describe_machine(),
        "runs": options.runs,
        "variants": {name: _counted(name) for name in VARIANTS},
        "measured": measured,
    }
    print(models_table(record))
    print(files_table(record))
    if options.publish:
        with replacing(RECORD, overwrite=True) as written:
            written.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        draw(record, PICTURE)
        readme.insert(PAGE, "models", models_table(record))
        readme.insert(PAGE, "files", files_table(record))


def _export(name, folder, progress):
    """{(variant, recipe): file} of one variant with random weights."""
    model = PoolFormerImageClassifier.from_variant(name)
    randomize(model)
    calibration = sample_photographs("*.jpg")[:CALIBRATION_IMAGES]
    files = {}
    for done, recipe in enumerate(RECIPES):
        progress.advance(done, len(RECIPES))
        path = folder / f"{name}_{recipe}.tflite"
        export_tflite(model, path, recipe=recipe, calibration=calibration)
        files[name, recipe] = path
    return files


def _measure(files, runs):
    """{variant: {recipe: size, median and what XNNPACK leaves out}}."""
    results = benchmark_files(files.values(), threads=[1], workers=1, runs=runs)
    measured = {}
    for (name, recipe), result in zip(files, results, strict=True):
        measured.setdefault(name, {})[recipe] = {
            "bytes": result.file_bytes,
            "ms": result.latencies[0].p50_ms,
            "partitions": result.partitions,
            "outside_xnnpack": result.outside_xnnpack,
        }
    return measured


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


def models_table(record):
    """Accuracy and cost of every variant, as Markdown."""
    header = [
        "variant", "parameters", f"MACs at {SIZE}", "top-1", "at 384", "with ImageNet-21k",
        "both",
    ]  # fmt: skip
    tags = ("in1k", "in1k_384", "in21k_in1k", "in21k_in1k_384")
    rows = [
        [
            f"`{name}`",
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['macs'] / 1e9:.1f} G",
            *(f"{row['top1'][tag]:.1f} %" if tag in row["top1"] else "-" for tag in tags),
        ]
        for name, row in record["variants"].items()
    ]
    return readme.markdown_table(header, rows)


def files_table(record):
    """Size and speed of the smallest network of each family, as Markdown."""
    header = ["variant", *(f"`{recipe}`: MB, ms" for recipe in RECIPES)]
    rows = [
        [
            f"`{name}`",
            *(f"{files[r]['bytes'] / 1e6:.1f}, {files[r]['ms']:.1f}" for r in RECIPES),
        ]
        for name, files in record["measured"].items()
    ]
    return readme.markdown_table(header, rows)


def draw(record, path):
    """Draws accuracy against cost, for all variants and for the measured files.

    Args:
        record: What `run` recorded.
        path: PNG file to write.
    """
    with mpl.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(10, 4.8), dpi=150, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        counted, timed = figure.subplots(1, 2)
        colors = dict(zip(SMALLEST, mpl.color_sequences["tab10"], strict=False))
        for name, color in colors.items():
            family = name.split("_")[0]
            rows = [
                record["variants"][variant]
                for variant in VARIANTS
                if variant.split("_")[0] == family
            ]
            points = [(row["macs"] / 1e9, row["top1"]["in1k"]) for row in rows]
            counted.plot(*zip(*points, strict=True), "o-", color=color, label=rows[0]["family"])
        for name, files in record["measured"].items():
            top1 = record["variants"][name]["top1"]["in1k"]
            times = [files[recipe]["ms"] for recipe in RECIPES]
            timed.plot(times, [top1] * len(times), "-", color=colors[name], alpha=0.4)
            for recipe, time, marker in zip(RECIPES, times, "os^D", strict=True):
                timed.plot(time, top1, marker, color=colors[name], label=f"_{recipe}")
        for recipe, marker in zip(RECIPES, "os^D", strict=True):
            timed.plot([], [], marker, color="0.4", label=recipe)
        _label(counted, "all sizes", f"multiply-accumulates at {SIZE} pixels, 10^9")
        _label(timed, "the smallest of each", "ms for one image, one thread")
        figure.suptitle(f"ImageNet-1k alone; speed on {record['machine']['cpu']}")
        canvas.print_png(path)


def _label(axes, title, cost):
    axes.set_title(title)
    axes.set_xlabel(cost)
    axes.set_ylabel("top-1, % (the authors')")
    axes.set_xscale("log")
    axes.grid(color="0.9")
    axes.legend(loc="lower right", fontsize=8)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.family",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--variants", default=",".join(SMALLEST), help="variants to export (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="timed calls (default: %(default)s)")
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD}, {PICTURE} and {PAGE}"
    )
    return one_line_errors("family", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
