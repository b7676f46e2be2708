"""Our augmentation next to timm's: images a second and core, with the recipe of ImageNet.

    python -m benchmarks.input_pipeline

Both read the same JPEGs of ImageNet's usual size, in one process and with one thread. timm's
side is what its loader does for an image: Pillow's decoding and `create_transform`, random
erasing and batches included. What counts is the processor time of all threads: work
that one of them leaves to another is not free, and other programs on the machine do not count.
Rounds of all alternate.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import conversion  # noqa: F401 - PyTorch's libraries come before TensorFlow
from benchmarks import input_parts, readme
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.ratios import estimate, ratio
from keras_poolformer.cli import one_line_errors
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.progress import Progress

ROUNDS, IMAGES = 11, 140
BLOCK = readme.Block("docs/input.json", "docs/training.md", "input")
TARGET, TARGET_OF_RECORDS = 2.0, 2.5
SIZE, QUALITY = (500, 375), 90  # of most of ImageNet's photographs
# Name, part of ours, part of timm's; smaller files for ours.
STAGES = (
    ("decoding the whole image", "whole image", "decoding", None),
    ("decoding at half the size", "half size", "decoding", None),
    ("recipe without RandAugment", "without RandAugment", "without RandAugment", None),
    ("recipe", "random erasing", "random erasing", None),
    ("recipe, `--short-side 256`", "random erasing", "random erasing", {"short_side": 256}),
    ("recipe, `--max-side 320`", "random erasing", "random erasing", {"max_side": 320}),
)
RECIPE, SMALLER = STAGES[3][0], STAGES[4:]


def compare(rounds=ROUNDS, images=IMAGES, progress=None):
    """Measures every stage and every part of both sides.

    Args:
        rounds: Number of rounds, at least 6.
        images: Number of images augmented per round.
        progress: Function to call with (rounds done, of how many), or None.

    Returns:
        {"stages": [{"case", "ours", "peer", "ratio"}, ...]: images a second and core, ours over
        timm's; "parts": [{"part", "ours", "peer"}, ...]: microseconds an image that each part adds;
        "differences": [{"case", "levels"}, ...]: mean difference of the crop, 0 to 255}.

    Raises:
        InputError: There are too few rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_photographs(Path(folder))
        smaller = {case: write_smaller(files, resized) for case, _, _, resized in SMALLER}
        batch = min(images, 20)
        runners = {("ours", part): ours(files, part, batch) for part in input_parts.OURS}
        runners |= {("timm", part): timms(files, part, batch) for part in input_parts.TIMMS}
        runners |= {
            (case, "random erasing"): ours(smaller[case], "random erasing", batch)
            for case in smaller
        }
        times = _measured(runners, rounds, images, progress)
        differences = input_parts.differences(files, smaller)
    stages = []
    for case, our_part, timms_part, resized in STAGES:
        mine = 1 / times[case if resized else "ours", our_part]
        timms_rates = 1 / times["timm", timms_part]
        stages.append(
            {
                "case": case,
                "ours": estimate(mine).to_dict(),
                "peer": estimate(timms_rates).to_dict(),
                "ratio": ratio(mine, timms_rates).to_dict(),
            }
        )
    parts = [
        {"part": part, **{side: _added(times, name, part) for side, name in _SIDES.items()}}
        for part in input_parts.PARTS
    ]
    return {"stages": stages, "parts": parts, "differences": differences}


_SIDES = {"ours": "ours", "peer": "timm"}


def _measured(runners, rounds, images, progress):
    """{runner's key: seconds an image in each round (rounds,)}."""
    for run in runners.values():
        run(images)  # first calls cost more
    estimate([1.0] * rounds)  # rejects too few
    times = {key: [] for key in runners}
    for number in range(rounds):
        for key, run in runners.items():
            start = time.process_time()
            run(images)
            times[key].append((time.process_time() - start) / images)
        if progress:
            progress(number + 1, rounds)
    return {key: np.array(values) for key, values in times.items()}


def _added(times, side, part):
    """Microseconds an image that a part adds to those before it; None where a side has none."""
    chain = [name for name in input_parts.PARTS if (side, name) in times]
    if part not in chain:
        return None
    place = chain.index(part)
    before = times[side, chain[place - 1]] if place else 0.0
    return float(np.median(times[side, part] - before) * 1e6)


def write_photographs(folder):
    """Writes JPEGs of ImageNet's usual size as a data set of one class; returns the files."""
    (folder / "photographs").mkdir()
    files = []
    for source in sorted((ASSETS / "photos").glob("*.jpg")):
        files.append(folder / "photographs" / source.name)
        with Image.open(source) as image:
            ImageOps.fit(image.convert("RGB"), SIZE).save(files[-1], quality=QUALITY)
    return files


def write_smaller(files, sides):
    """Writes the files as `prepare` would with sides, {name: pixels}; returns the new ones."""
    from keras_poolformer.data.splits.resized import Resized
    from keras_poolformer.data.splits.smaller import smaller_image

    folder = files[0].parent.parent / "_".join(map(str, itertools.chain(*sides.items())))
    folder.mkdir()
    for file in files:
        (folder / file.name).write_bytes(smaller_image(Resized(**sides), file.read_bytes()))
    return [folder / file.name for file in files]


def ours(files, part, batch):
    """Our side up to a part: a function that augments so many images, in batches.

    Args:
        files: JPEGs.
        part: Name of the last part that is done.
        batch: Number of images in a batch.
    """
    import tensorflow as tf

    function = input_parts.OURS[part]

    @tf.autograph.experimental.do_not_convert
    def load(position, file):
        return function(tf.io.read_file(file), tf.stack((tf.constant(0, tf.int64), position)))

    dataset = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
    dataset = dataset.repeat().enumerate().map(load, num_parallel_calls=1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    iterator = iter(dataset.batch(batch).with_options(options))
    return lambda count: [next(iterator) for _ in range(count // batch)][:0]


def timms(files, part, batch):
    """timm's side, like `ours`."""
    import torch

    torch.set_num_threads(1)
    mend_posterize()
    transforms = input_parts.TIMMS[part]()
    sources = itertools.cycle(files)

    def load():
        with Image.open(next(sources)) as image:
            pixels = image.convert("RGB")
        for transform in transforms:
            pixels = transform(pixels)
        return pixels

    def run(count):
        for _ in range(count // batch):
            images = [load() for _ in range(batch)]
            if isinstance(images[0], torch.Tensor):
                torch.stack(images)

    return run


def mend_posterize():
    """Lets timm posterize to no bits at all, which it may draw and Pillow 13 refuses."""
    if getattr(ImageOps.posterize, "mended", False):
        return
    pillows = ImageOps.posterize

    def posterize(image, bits):
        return pillows(image, bits) if bits else image.point([0] * 256 * len(image.getbands()))

    posterize.mended = True
    ImageOps.posterize = posterize


def tables(results):
    """Returns the tables as Markdown."""
    machine = results["machine"]
    stages = [_row(row) for row in results["stages"]]
    parts = [
        [row["part"], *("" if row[side] is None else f"{row[side]:.0f}" for side in _SIDES)]
        for row in results["parts"]
    ]
    differences = [[row["case"], f"{row['levels']:.2f}"] for row in results["differences"]]
    return (
        f"Images a second and core, our augmentation next to timm's on JPEGs of "
        f"{SIZE[0]} x {SIZE[1]}; medians of {results['rounds']} alternating rounds on "
        f"{machine['cpu']}:\n\n"
        + readme.markdown_table(
            ["images a second", "ours", "timm", "ours / timm", "95 % interval"], stages
        )
        + "\nMicroseconds an image that each part adds, with the whole recipe:\n\n"
        + readme.markdown_table(["part", "ours", "timm"], parts)
        + "\nMean difference of the crops (224 pixels, before RandAugment) from those of the "
        "originals, of 255 levels:\n\n"
        + readme.markdown_table(["crops", "difference"], differences)
    )


def _row(row):
    quotient = row["ratio"]
    return [
        row["case"],
        f"{row['ours']['value']:.0f}",
        f"{row['peer']['value']:.0f}",
        f"{quotient['value']:.2f}",
        f"{quotient['low']:.2f} to {quotient['high']:.2f}",
    ]


def targets(results):
    """Returns [(what was promised, whether it holds), ...]."""
    ratios = {row["case"]: row["ratio"]["high"] for row in results["stages"]}
    best = max(ratios[case[0]] for case in SMALLER)
    return [
        (f"{TARGET:g} x timm's images a second and core", ratios[RECIPE] >= TARGET),
        (f"{TARGET_OF_RECORDS:g} x with smaller records", best >= TARGET_OF_RECORDS),
    ]


def run(options):
    """Measures, prints and, if asked to, publishes."""
    progress = Progress(["augmentation"])
    progress.start()
    results = {"machine": describe_machine(), "busy_cores": busy_cores(), "rounds": options.rounds}
    results |= compare(options.rounds, progress=progress.advance)
    progress.finish()
    readme.report(results, tables(results), targets(results), options.publish and BLOCK)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.input_pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least 6 ({ROUNDS})")
    parser.add_argument("--publish", action="store_true",
                        help=f"write {BLOCK.record} and tables of {BLOCK.document}")  # fmt: skip
    return one_line_errors("input_pipeline", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
