"""Our augmentation next to timm's: images a second and core, with the recipe of ImageNet.

Both read the same JPEGs of ImageNet's usual size, in one process and with one thread. timm's
side is what its loader does for an image: Pillow's decoding and `create_transform`, random
erasing included. What counts is the processor time of all threads: work that one of them leaves to
another is not free, and other programs on the machine do not count. Rounds of both alternate.
"""

import itertools
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

import conversion  # noqa: F401 - PyTorch's libraries come before TensorFlow
from benchmarks.ratios import estimate, ratio
from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD
from keras_poolformer.shipped import ASSETS

ROUNDS, IMAGES = 15, 140
TARGET = 1.0
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
        rounds: Number of rounds, at least 6.
        images: Number of images augmented per round.

    Returns:
        [{"case", "ours", "peer", "ratio"}, ...]: images a second and core, ours over timm's.

    Raises:
        InputError: There are too few rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_photographs(Path(folder))
        runners = {}
        for stage, rand_augment in STAGES.items():
            runners[stage, "ours"] = ours(files, rand_augment)
            runners[stage, "timm"] = timms(files, rand_augment)
        rates = {key: [] for key in runners}
        for run in runners.values():
            run(len(files))  # first calls cost more
        for _ in range(rounds):
            for key, run in runners.items():
                start = time.process_time()
                run(images)
                rates[key].append(images / (time.process_time() - start))
    return [
        {
            "case": stage,
            "ours": estimate(rates[stage, "ours"]).to_dict(),
            "peer": estimate(rates[stage, "timm"]).to_dict(),
            "ratio": ratio(rates[stage, "ours"], rates[stage, "timm"]).to_dict(),
        }
        for stage in STAGES
    ]


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
        rand_augment: As in `Augmentation`; None for decoding only.
    """
    import tensorflow as tf

    from keras_poolformer.data.augmentation.augment import Augmentation, augment
    from keras_poolformer.data.decoding import decode

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


def timms(files, rand_augment):
    """timm's side, like `ours`."""

    import torch
    from timm.data import create_transform

    torch.set_num_threads(1)
    mend_posterize()
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
    sources = itertools.cycle(files)

    def run(count):
        for _ in range(count):
            with Image.open(next(sources)) as image:
                pixels = image.convert("RGB")
            if rand_augment is not None:
                transform(pixels)  # pyright: ignore[reportCallIssue]

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
