"""RandAugment inside TensorFlow against timm's own functions, which work on Pillow's images.

Measured with Pillow 13 and timm 1.0.31: all pixels are equal, except bicubic ones after shear,
translation and rotation. Of those, 1 in 50,000 values is 1 of 255 off, at most 1 in 300 in one
picture (round levels, at which many results are whole numbers but for their rounding).
"""

import functools
import itertools
import math
import random

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.support.errors import InputError

tf = pytest.importorskip("tensorflow")
augment = pytest.importorskip("keras_poolformer.data.augmentation.randaugment")

RandAugment = augment.RandAugment
RECIPE = "rand-m9-mstd0.5-inc1"
FILL = (124, 116, 104)
SIZES = [(224, 224), (97, 61), (61, 130), (7, 5), (1, 9), (9, 1), (2, 3), (1, 1)]  # (width, height)
MOVES = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
NAMES = sorted({*RandAugment().operations, *RandAugment(increasing=False).operations})
POINT_OPERATIONS = [name for name in NAMES if name not in MOVES]
RESAMPLING = {False: Image.Resampling.BILINEAR, True: Image.Resampling.BICUBIC}


@pytest.fixture(scope="module")
def timm():
    """timm.data.auto_augment."""
    pytest.importorskip("torch")

    return pytest.importorskip("timm.data.auto_augment")


@pytest.fixture
def arguments_of(timm, monkeypatch):
    """arguments_of(name, magnitude, sign): what timm makes of a magnitude."""

    def arguments_of(name, magnitude, sign):
        monkeypatch.setattr(random, "random", lambda: 0.0 if sign > 0 else 1.0)
        level_of = timm.LEVEL_TO_ARG[name]
        return level_of(magnitude, {}) if level_of else ()

    return arguments_of


@pytest.fixture
def pillows(timm, arguments_of):
    """pillows(image, name, magnitude, sign, bicubic): the pixels that timm makes."""

    def pillows(image, name, magnitude, sign=1.0, bicubic=False):
        arguments = arguments_of(name, magnitude, sign)
        if name.startswith("Posterize") and arguments == (0,):
            return np.zeros_like(image)  # as Pillow did up to version 12; 13 raises ValueError
        function = timm.NAME_TO_OP[name]
        return np.array(function(image, *arguments, resample=RESAMPLING[bicubic], fillcolor=FILL))

    return pillows


def apply(name, pixels, magnitude, sign=1.0, bicubic=False):
    """Our operation: scalars as tensors, so that a tf.function is traced once."""
    magnitude, sign = (tf.constant(value, tf.float64) for value in (magnitude, sign))
    fill = tf.constant(FILL, tf.uint8)
    return augment.apply(name, pixels, magnitude, sign, tf.constant(bicubic), fill).numpy()


@functools.cache
def graph_of(name):
    """`apply` in a graph that is traced once; test_graphs_and_eager_agree compares the two."""
    pixels, number = tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.float64)
    fill = tf.constant(FILL, tf.uint8)
    return tf.function(
        lambda *arguments: augment.apply(name, *arguments, fill),
        input_signature=[pixels, number, number, tf.TensorSpec((), tf.bool)],
        autograph=False,
    )


def graph_of_shape(name, shape):
    """`apply` for pixels of one shape."""
    number, fill = tf.TensorSpec((), tf.float64), tf.constant(FILL, tf.uint8)
    return tf.function(
        lambda *arguments: augment.apply(name, *arguments, fill),
        input_signature=[
            tf.TensorSpec(shape, tf.uint8),
            number,
            number,
            tf.TensorSpec((), tf.bool),
        ],
        autograph=False,
    )


def differences(ours, theirs):
    """The share of values that differ, by 1 at most."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1
    return difference.mean()


@pytest.mark.first(4)
@pytest.mark.parametrize("name", POINT_OPERATIONS)
def test_point_operations_are_pillows(name, photographs_of, pillows):
    noise = np.random.default_rng(3).uniform(0, 10, 3)
    for image in photographs_of(SIZES):
        for magnitude in (0.0, 5.0, 9.0, 10.0, *noise):
            for sign in (1.0, -1.0) if name.endswith("Increasing") else (1.0,):
                ours = apply(name, np.array(image), magnitude, sign)
                theirs = pillows(image, name, magnitude, sign)
                np.testing.assert_array_equal(ours, theirs, f"{image.size} {magnitude} {sign}")


@pytest.mark.first(2)
@pytest.mark.parametrize("bicubic", [False, True], ids=["bilinear", "bicubic"])
@pytest.mark.parametrize("name", MOVES)
def test_moves_are_pillows(name, bicubic, photographs_of, pillows):
    draws = np.random.default_rng(4).uniform(0, 10, 3)
    shares = []
    for image in photographs_of(SIZES):
        for magnitude in (0.0, 1.0, 9.0, 10.0, *draws):
            for sign in (1.0, -1.0):
                ours = graph_of(name)(np.array(image), magnitude, sign, bicubic).numpy()
                theirs = pillows(image, name, magnitude, sign, bicubic)
                share = differences(ours, theirs)
                # Whole pictures only: a single pixel of a tiny one is a large share.
                shares.append(share if image.width > 50 else 0.0)
                assert bicubic or share == 0, (image.size, magnitude, sign)
    assert max(shares) < 5e-3
    assert np.mean(shares) < 1e-4


@pytest.mark.first(4)
@pytest.mark.parametrize("name", [MOVES[0], "Brightness", "Equalize", MOVES[3], *NAMES])
def test_graphs_of_a_known_shape_are_pillows(name, photographs_of, pillows):
    """As training runs them: where the shape is known, optimizers of graphs merge more."""
    draws = np.random.default_rng(6).uniform(0, 10, 6)
    shares = []
    for image in photographs_of([(97, 61), (224, 224)]):
        run = graph_of_shape(name, (image.height, image.width, 3))
        for magnitude in (0.0, 5.0, 9.0, 10.0, *draws):
            for sign, bicubic in itertools.product((1.0, -1.0), (False, True)):
                ours = run(np.array(image), magnitude, sign, bicubic).numpy()
                theirs = pillows(image, name, magnitude, sign, bicubic)
                share = differences(ours, theirs)
                shares.append(share)
                assert (name in MOVES and bicubic) or share == 0, (image.size, magnitude, sign)
    assert max(shares) < 5e-3
    assert np.mean(shares) < 1e-4


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize", "Contrast", "Sharpness"])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_pictures_of_one_colour(name, level, pillows):
    image = Image.new("RGB", (20, 30), (level, 255 - level, 3))
    ours = apply(name, np.array(image), 9.0)
    np.testing.assert_array_equal(ours, pillows(image, name, 9.0))


def test_pictures_that_leave_the_frame():
    pixels = np.full((20, 30, 3), 9, np.uint8)
    for move in (augment.affine.translate_x, augment.affine.translate_y):
        for share in (1.0, -1.0, 1.7, -2.5):
            moved = move(pixels, share, False, tf.constant(FILL, tf.uint8)).numpy()
            np.testing.assert_array_equal(moved, np.broadcast_to(FILL, pixels.shape))


@pytest.mark.first(6)
@pytest.mark.parametrize("name", [MOVES[0], *POINT_OPERATIONS, *MOVES[1:]])
@pytest.mark.parametrize("shape", [(None, None, 3), (61, 97, 3)], ids=["dynamic", "static"])
def test_graphs_and_eager_agree(name, shape, photographs_of):
    (image,) = photographs_of([(97, 61)])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)], autograph=False)
    def in_graph(pixels):
        magnitude, sign = tf.constant(8.4, tf.float64), tf.constant(-1.0, tf.float64)
        fill = tf.constant(FILL, tf.uint8)
        return augment.apply(name, pixels, magnitude, sign, tf.constant(False), fill)

    result = in_graph(np.array(image))
    eager = apply(name, np.array(image), 8.4, -1.0)
    np.testing.assert_array_equal(result, eager)
    assert in_graph.get_concrete_function().output_shapes.as_list() == list(shape)


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_timms(name, arguments_of):
    _, level_of = augment._OPERATIONS[name]
    if level_of is None:
        assert arguments_of(name, 9.0, 1.0) == ()
        return
    for magnitude in (*range(11), *np.random.default_rng(5).uniform(0, 10, 20)):
        for sign in (1.0, -1.0):
            share = tf.constant(magnitude, tf.float64) / 10.0
            level = level_of(share, tf.constant(sign, tf.float64)).numpy()
            assert (level,) == arguments_of(name, float(magnitude), sign), (magnitude, sign)


@pytest.mark.parametrize("increasing", [True, False])
def test_operations_are_timms(increasing, timm):
    names = timm.rand_augment_choices("", increasing=increasing)
    assert sorted(RandAugment(increasing=increasing).operations) == sorted(names)


@pytest.mark.parametrize(
    "text",
    [RECIPE, "rand", "rand-inc1", "rand-n3-m4-p0.7", "rand-mstd1-m0", "rand-inc0-n1"],
)
def test_strings_mean_what_they_do_in_timm(text, timm):
    theirs = timm.rand_augment_transform(text)
    ours = RandAugment.parse(text)
    assert ours.num_ops == theirs.num_layers
    assert sorted(ours.operations) == sorted(operation.name for operation in theirs.ops)
    for operation in theirs.ops:
        assert operation.prob == ours.probability
        assert operation.magnitude == ours.magnitude
        assert operation.magnitude_std == ours.magnitude_std


def test_recipe_is_the_default():
    assert RandAugment.parse(RECIPE) == RandAugment()
    assert RandAugment.parse("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmix-m3", "'augmix-m3' must begin with 'rand', not 'augmix'"),
        ("rand-tweights", "unknown part 'tweights'"),
        ("rand-m9-mmax20", "unknown part 'mmax20'"),
        ("rand-x3", "unknown part 'x3'"),
        ("rand-m", "unknown part 'm'"),
        ("rand--m9", "unknown part ''"),
        ("rand-m9.5", "not valid in 'm9.5'"),
        ("rand-mstd0.5.5", "not valid in 'mstd0.5.5'"),
        ("rand-m9-m8", "has 'm' twice"),
        ("rand-m11", "magnitude must be 0 to 10. Received: 11"),
        ("rand-p2", "probability must be 0 to 1. Received: 2"),
        ("rand-mstd101", "magnitude_std must be 0 to 100. Received: 101"),
    ],
)
def test_refuses_other_strings(text, message):
    with pytest.raises(InputError) as caught:
        RandAugment.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_other_interpolations(rgb_photographs):
    with pytest.raises(InputError, match="random, bilinear, bicubic\\. Received: lanczos"):
        augment.rand_augment(
            RandAugment(), np.array(rgb_photographs[0]), (1, 2), FILL, interpolation="lanczos"
        )


@pytest.fixture(scope="module")
def many_draws():
    """What is drawn with the recipe's options for 4,000 seeds: four arrays (4000, 2)."""
    seeds = tf.data.Dataset.range(4000).map(lambda i: augment.draw(RandAugment(), (i, 7)))
    return next(iter(seeds.batch(4000).as_numpy_iterator()))


def test_operations_are_drawn_evenly_and_independently(many_draws):
    index, _, sign, bicubic = many_draws
    applied = index >= 0
    assert applied.mean() == pytest.approx(0.5, abs=0.02)  # 4 deviations of 0.0056
    counts = np.bincount(index[applied], minlength=15)
    expected = applied.sum() / 15
    assert counts.size == 15
    assert ((counts - expected) ** 2 / expected).sum() < 36.1  # chi square, 14 degrees: 0.1 %
    first, second = index[applied.all(1)].T
    assert (first == second).mean() == pytest.approx(1 / 15, abs=0.032)  # with replacement
    assert applied.all(1).mean() == pytest.approx(0.25, abs=0.028)
    for values in (sign > 0, bicubic):
        assert values.mean() == pytest.approx(0.5, abs=0.023)
        assert values[applied].mean() == pytest.approx(0.5, abs=0.032)
        assert np.corrcoef(values[:, 0], values[:, 1])[0, 1] == pytest.approx(0, abs=0.064)
    assert set(np.unique(sign)) == {-1.0, 1.0}


def test_magnitudes_are_normal_and_clipped(many_draws):
    magnitude = many_draws[1]
    assert magnitude.max() == 10.0
    for limit in (8.0, 8.5, 9.0, 9.5, 9.99):
        below = 0.5 * (1 + math.erf((limit - 9.0) / 0.5 / math.sqrt(2)))
        assert (magnitude < limit).mean() == pytest.approx(below, abs=0.023), limit


def test_magnitudes_without_deviation():
    magnitude = augment.draw(RandAugment(magnitude=7, magnitude_std=0.0, num_ops=5), (1, 2))[1]
    assert magnitude.numpy().tolist() == [7.0] * 5
    small = augment.draw(RandAugment(magnitude=0, num_ops=20), (1, 2))[1].numpy()
    assert small.min() == 0.0 < small.max()


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_layers_are_what_was_drawn(dtype, photographs_of):
    """rand_augment = the drawn operations, one after the other."""
    (image,) = photographs_of([(97, 61)])
    options = RandAugment(num_ops=3)
    changed = 0
    for seed in range(10):
        pair = tf.constant((seed, 5), dtype)
        expected = np.array(image)
        for index, *drawn in zip(*augment.draw(options, pair), strict=True):
            if index >= 0:
                name = options.operations[index]
                expected = augment.apply(name, expected, *drawn, tf.constant(FILL, tf.uint8))
        ours = augment.rand_augment(options, np.array(image), pair, FILL)
        np.testing.assert_array_equal(ours, expected)
        changed += (ours.numpy() != image).any()
    assert changed >= 6  # 7 of 8 have at least one operation


def test_probability_0_changes_nothing(rgb_photographs):
    pixels = np.array(rgb_photographs[0])
    for options in (RandAugment(probability=0.0), RandAugment(num_ops=0)):
        np.testing.assert_array_equal(augment.rand_augment(options, pixels, (1, 2), FILL), pixels)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_interpolation_can_be_fixed(interpolation, photographs_of, monkeypatch):
    monkeypatch.setattr(augment, "_INCREASING", ("Rotate",))
    (image,) = photographs_of([(97, 61)])
    options = RandAugment(num_ops=1, probability=1.0)
    for seed in range(4):
        _, magnitude, sign, _ = (values[0] for values in augment.draw(options, (seed, 5)))
        expected = apply("Rotate", np.array(image), magnitude, sign, interpolation == "bicubic")
        ours = augment.rand_augment(
            options, np.array(image), (seed, 5), FILL, interpolation=interpolation
        )
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_a_seed_gives_one_picture_wherever_it_runs(photographs_of):
    (image,) = photographs_of([(97, 61)])
    pixels = tf.constant(np.array(image))

    def make(index):
        return augment.rand_augment(RandAugment(), pixels, tf.stack([8, index]), FILL)

    seeds = tf.data.Dataset.range(24).map(lambda index: tf.cast(index, tf.int32))
    alone = [make(index).numpy() for index in range(24)]
    mapped = seeds.map(make, num_parallel_calls=4)
    assert mapped.element_spec.shape == pixels.shape
    for _ in range(2):
        for ours, expected in zip(mapped.as_numpy_iterator(), alone, strict=True):
            np.testing.assert_array_equal(ours, expected)
    assert len({result.tobytes() for result in alone}) > 12  # a quarter are the photograph
