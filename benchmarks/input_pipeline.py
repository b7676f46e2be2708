"""Our augmentation beside timm's: images a second and core, with the recipe of ImageNet.

    python -m benchmarks.input_pipeline

Both read the same JPEGs of ImageNet's usual size, in one process and with one thread. timm's
side is what its loader does for an image: `ImageDataset` with `create_transform`, random erasing
included. What counts is the processor time of all threads: work that one of them leaves to
another is not free, and other programs on the machine do not count. Rounds of both alternate;
see benchmarks/ratios.py for the intervals.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.machine import busy_cores, describe_machine
from benchmarks.ratios import estimate, ratio
from keras_poolformer.cli import one_line_errors
from keras_poolformer.image_transform import IMAGENET_MEAN, IMAGENET_STD
from keras_poolformer.presets import ASSETS

ROUNDS, IMAGES = 15, 140
SIZE, QUALITY = (500, 375), 90  # of most of ImageNet's photographs
RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
STAGES = {
    "decoding the whole image": None,
    "recipe without RandAugment": "",
    "recipe": RAND_AUGMENT,
}


def compare(rounds=ROUNDS, images=IMAGES):
    """Measures every stage of both sides.

    Args:
        rounds: how often each is measured, at least 6.
        images: augmented in each round.

    Returns:
        JSON-ready results: "machine", "busy_cores", "rounds", "images" and "stages", which are
        {"stage", "ours", "timm", "ratio"}: images a second and core, ours over timm's.

    Raises:
        InputError: too few rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_photographs(Path(folder))
        runners = {}
        for stage, rand_augment in STAGES.items():
            runners[stage, "ours"] = ours(files, rand_augment)
            runners[stage, "timm"] = timms(folder, rand_augment)
        busy = busy_cores()
        rates = {key: [] for key in runners}
        for run in runners.values():
            run(len(files))  # first calls cost more
        for _ in range(rounds):
            for key, run in runners.items():
                start = time.process_time()
                run(images)
                rates[key].append(images / (time.process_time() - start))
    stages = [
        {
            "stage": stage,
            "ours": estimate(rates[stage, "ours"]).to_dict(),
            "timm": estimate(rates[stage, "timm"]).to_dict(),
            "ratio": ratio(rates[stage, "ours"], rates[stage, "timm"]).to_dict(),
        }
        for stage in STAGES
    ]
    return {
        "machine": describe_machine(),
        "busy_cores": busy,
        "rounds": rounds,
        "images": images,
        "stages": stages,
    }


def write_photographs(folder):
    """Writes JPEGs of ImageNet's usual size as a data set of one class; returns the files."""
    (folder / "photographs").mkdir()
    files = []
    for source in sorted((ASSETS / "photos").glob("*.jpg")):
        files.append(folder / "photographs" / source.name)
        with Image.open(source) as image:
            ImageOps.fit(image.convert("RGB"), SIZE).save(files[-1], quality=QUALITY)
    return files


def ours(files, rand_augment):
    """Our side: a function that augments so many images.

    Args:
        files: JPEGs.
        rand_augment: of `Augmentation`; None for decoding alone.
    """
    import tensorflow as tf

    from keras_poolformer.data.augment import Augmentation, augment, decode

    def load(position, file):
        encoded = tf.io.read_file(file)
        if rand_augment is None:
            return decode(encoded)
        seed = tf.stack((tf.constant(0, tf.int64), position))
        return augment(Augmentation(rand_augment=rand_augment), encoded, seed)

    dataset = tf.data.Dataset.from_tensor_slices([str(file) for file in files])
    dataset = dataset.repeat().enumerate().map(load, num_parallel_calls=1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    iterator = iter(dataset.with_options(options))
    return lambda count: [next(iterator) for _ in range(count)][:0]


def timms(folder, rand_augment):
    """timm's side, like `ours`; `folder` holds the folder of a class."""
    from conversion.torch_imports import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from timm.data import ImageDataset, create_transform

    torch.set_num_threads(1)
    _mend_posterize()
    transform = create_transform(
        224,
        is_training=True,
        auto_augment=rand_augment or None,
        color_jitter=None,  # which RandAugment turns off
        interpolation="random",
        re_prob=0.25,
        re_mode="pixel",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    dataset = ImageDataset(str(folder), transform=None if rand_augment is None else transform)
    positions = itertools.cycle(range(len(dataset)))

    def run(count):
        for _ in range(count):
            dataset[next(positions)]

    return run


def _mend_posterize():
    """Lets timm posterize to no bits at all, which it may draw and Pillow 13 refuses."""
    if getattr(ImageOps.posterize, "mended", False):
        return
    pillows = ImageOps.posterize

    def posterize(image, bits):
        return pillows(image, bits) if bits else image.point([0] * 256 * len(image.getbands()))

    posterize.mended = True
    ImageOps.posterize = posterize


def print_table(results):
    """Prints what `compare` returns."""
    machine = results["machine"]
    print(
        f"{machine['cpu']}, {machine['cores']} cores; others keep {results['busy_cores']:.2f} busy"
    )
    print(
        f"Images a second and core; {results['rounds']} alternating rounds of "
        f"{results['images']} images, {SIZE[0]} x {SIZE[1]}"
    )
    print(f"{'':28} | {'ours':>6} | {'timm':>6} | {'ours / timm':>11} | 95 % interval")
    for row in results["stages"]:
        quotient = row["ratio"]
        print(
            f"{row['stage']:28} | {row['ours']['value']:6.0f} | {row['timm']['value']:6.0f} | "
            f"{quotient['value']:11.3f} | {quotient['low']:.3f} to {quotient['high']:.3f}"
        )
    met = results["stages"][-1]["ratio"]["high"] >= 1
    print(f"Target, at least timm's images a second and core: {'met' if met else 'not met'}")


def run(arguments):
    """Measures and prints."""
    print_table(compare(arguments.rounds, arguments.images))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.input_pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=IMAGES,
                        help="in a round; default: %(default)s")  # fmt: skip
    return one_line_errors("input_pipeline", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
