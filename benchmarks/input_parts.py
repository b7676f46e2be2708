"""The parts of the recipe, for benchmarks.input_pipeline: each side up to each of them.

OURS has functions of (file's content, seed); TIMMS, functions that return timm's transforms. The
parts come one after the other, so that what one costs is the difference from the one before.
"""

import functools

import numpy as np

from keras_poolformer.data.augmentation import augment as recipe
from keras_poolformer.data.augmentation.augment import Augmentation, augment, normalize
from keras_poolformer.data.augmentation.randaugment import RandAugment, rand_augment
from keras_poolformer.data.augmentation.rectangles import RECTANGLE_DRAWS, crop_box
from keras_poolformer.data.decoding import decode
from keras_poolformer.data.image_header import read_header
from keras_poolformer.data.randomness import fold_in
from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD

RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
SEEDS = 40  # for each photograph, of `differences`
PARTS = (
    "loop over a data set",
    "reading the header",
    "decoding",
    "crop, resize and flip",
    "RandAugment",
    "normalization",
    "random erasing",
)
_OPTIONS = Augmentation(rand_augment=RAND_AUGMENT)


def _draws(seed):
    import tensorflow as tf

    return tf.random.stateless_uniform((2 * RECTANGLE_DRAWS + 3,), seed, alg="philox")


def _decoded(encoded, seed):
    """The shape of the crop, which TensorFlow knows once it is decoded."""
    import tensorflow as tf

    header = read_header(encoded)
    box = crop_box(
        _OPTIONS.crop_scale,
        _OPTIONS.crop_ratio,
        header.height,
        header.width,
        _draws(seed)[:RECTANGLE_DRAWS],
    )
    return tf.shape(recipe._part_of_jpeg(encoded, header, box)[0])


def _cropped(encoded, seed):
    draws = _draws(seed)
    return recipe._crop(
        _OPTIONS, encoded, draws[:RECTANGLE_DRAWS], draws[-3] < 0.5, draws[-2] < 0.5
    )


def _augmented(encoded, seed):
    fill = [round(255 * value) for value in _OPTIONS.mean]
    return rand_augment(RandAugment(), _cropped(encoded, seed), fold_in(seed, 1), fill)


def _whole(encoded, seed):
    import tensorflow as tf

    del seed
    return tf.shape(decode(encoded))


def _half_size(encoded, seed):
    import tensorflow as tf

    del seed
    pixels = tf.io.decode_jpeg(encoded, channels=3, ratio=2, dct_method="INTEGER_ACCURATE")
    return tf.shape(pixels)


OURS = {
    "loop over a data set": lambda encoded, seed: seed,
    "reading the header": lambda encoded, seed: read_header(encoded).height,
    "decoding": _decoded,
    "crop, resize and flip": _cropped,
    "RandAugment": _augmented,
    "normalization": lambda encoded, seed: normalize(_OPTIONS, _augmented(encoded, seed)),
    "random erasing": functools.partial(augment, _OPTIONS),
    "whole image": _whole,
    "half size": _half_size,
    "without RandAugment": functools.partial(augment, Augmentation(rand_augment="")),
}


def _timms(rand_augment=RAND_AUGMENT):
    """timm's transforms: crop, flip, RandAugment if any, to a tensor, normalization, erasing."""
    from timm.data import create_transform

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
    return list(transform.transforms)


TIMMS = {
    "decoding": list,
    "crop, resize and flip": lambda: _timms()[:2],
    "RandAugment": lambda: _timms()[:3],
    "normalization": lambda: _timms()[:5],
    "random erasing": _timms,
    "without RandAugment": lambda: _timms(""),
}


def differences(files, smaller):
    """How far crops of smaller files are from those of the originals.

    Args:
        files: JPEGs.
        smaller: {case: the same, resized}.

    Returns:
        [{"case", "levels"}, ...]: mean absolute difference, 0 to 255; for comparison, of
        bilinear crops of the originals from bicubic ones.
    """
    originals = _crops(files, "bicubic")
    rows = {case: _crops(resized, "bicubic") for case, resized in smaller.items()}
    rows["originals, bilinear instead of bicubic"] = _crops(files, "bilinear")
    return [
        {"case": case, "levels": float(np.abs(crops - originals).mean())}
        for case, crops in rows.items()
    ]


def _crops(files, interpolation):
    """Levels of crops, 0 to 255: float32 (images, size, size, 3)."""
    import tensorflow as tf

    options = Augmentation(
        rand_augment="", erasing=0.0, interpolation=interpolation, mean=0.0, std=1.0
    )
    examples = [(str(file), number) for file in files for number in range(SEEDS)]
    paths, numbers = zip(*examples, strict=True)
    dataset = tf.data.Dataset.from_tensor_slices((list(paths), np.array(numbers, np.int64)))
    dataset = dataset.map(
        lambda path, number: augment(
            options, tf.io.read_file(path), tf.stack((tf.constant(1, tf.int64), number))
        )
    )
    return 255 * np.stack(list(dataset.as_numpy_iterator()))
