"""The augmentation inside TensorFlow against timm's transforms and Pillow.

See test_resampling.py for the tolerance of pixels; test_augment_laws.py has how they are drawn.
"""

import functools
import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_poolformer.images.transform import IMAGENET_MEAN, IMAGENET_STD, ImageTransform
from keras_poolformer.support.errors import InputError

tf = pytest.importorskip("tensorflow")
augment = pytest.importorskip("keras_poolformer.data.augmentation.augment")

Augmentation = augment.Augmentation
PLAIN = {"rand_augment": "", "erasing": 0.0, "flip": 0.0, "interpolation": "bicubic"}


@pytest.fixture(scope="module")
def photo(rgb_photographs):
    return ImageOps.fit(rgb_photographs[0], (250, 187))


@pytest.fixture(scope="module")
def jpeg(photo):
    return encode(photo)


@functools.cache
def graph_of(options):
    """(encoded, seed) -> image, in a graph that is traced once for each set of options."""
    return tf.function(
        lambda *arguments: augment.augment(options, *arguments),
        input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((2,), tf.int64)],
    )


@pytest.fixture(scope="module")
def run():
    """run(encoded, seed, **options) -> array."""
    return lambda encoded, seed, **options: graph_of(Augmentation(**options))(encoded, seed).numpy()


@pytest.fixture
def fix_box(monkeypatch):
    """fix_box(box): every crop lies there."""

    def fix_box(box):
        monkeypatch.setattr(augment, "crop_box", lambda *_: tf.constant(box, tf.int32))

    return fix_box


def encode(image, format="JPEG", **options):
    file = io.BytesIO()
    image.save(file, format, **({"quality": 90} if format == "JPEG" else {}) | options)
    return file.getvalue()


def levels(image):
    """0 to 255, from normalised values."""
    values = (image * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)) * 255
    np.testing.assert_allclose(values, np.round(values), atol=1e-3)
    return np.round(values).astype(int)


# Options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "`size` must be a whole number of pixels"),
        ({"crop_scale": (0.5, 0.2)}, "`crop_scale` must be two positive numbers, the lower first"),
        ({"crop_scale": (0.0, 0.2)}, "`crop_scale` must be two positive numbers"),
        ({"crop_scale": (0.5, 1.5)}, "`crop_scale` must not exceed 1. Received: (0.5, 1.5)"),
        ({"crop_scale": 0.5}, "`crop_scale` must be two"),
        ({"crop_ratio": ("a", "b")}, "`crop_ratio` must be two"),
        ({"crop_ratio": (1.0, float("inf"))}, "`crop_ratio` must be two"),
        ({"interpolation": "nearest"}, "`interpolation` must be one of random, bilinear, bicubic"),
        ({"flip": 1.5}, "`flip` must be a probability, 0 to 1. Received: 1.5"),
        ({"flip": True}, "`flip` must be a probability"),
        ({"erasing": -0.1}, "`erasing` must be a probability"),
        ({"rand_augment": "rand-x9"}, "unknown part 'x9'"),
        ({"rand_augment": None}, "`rand_augment` must be text such as"),
        ({"mean": (0.5, 0.5)}, "`mean` must be a finite number or three"),
        ({"std": 0.0}, "`std` must be positive"),
    ],
    ids=str,
)
def test_refused_options(options, text):
    with pytest.raises(InputError) as caught:
        Augmentation(**options)
    assert text in str(caught.value)


def test_options_become_plain_values():
    options = Augmentation(size=np.int64(32), crop_scale=[0.5, 1], mean=0.5, flip=1)
    assert options == Augmentation(size=32, crop_scale=(0.5, 1.0), mean=(0.5,) * 3, flip=1.0)
    assert hash(options)


# The crop ------------------------------------------------------------------------------------


def test_crops_of_tiny_images_have_pixels(run):
    for size in ((1, 1), (1, 2), (3, 1), (1, 40)):
        file = encode(Image.new("RGB", size, (9, 99, 200)), "PNG")
        for key in range(5):
            result = levels(run(file, (0, key), size=32, **PLAIN))
            np.testing.assert_array_equal(result, np.broadcast_to((9, 99, 200), (32, 32, 3)))


@pytest.mark.first(3)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_pixels_are_pillows(fix_box, photo, interpolation, subsampling):
    file = encode(photo, subsampling=subsampling)
    image = Image.open(io.BytesIO(file))
    options = Augmentation(**PLAIN | {"interpolation": interpolation})
    for top, left, height, width in (
        (0, 0, 187, 250), (16, 16, 100, 90), (31, 17, 111, 83), (86, 149, 101, 101),
    ):  # fmt: skip
        fix_box((top, left, height, width))
        ours = levels(augment.augment(options, file, (0, 0)).numpy())
        crop = image.crop((left, top, left + width, top + height))
        kernel = Image.Resampling[interpolation.upper()]
        theirs = np.array(crop.resize((width, 224), kernel).resize((224, 224), kernel))
        difference = np.abs(ours - theirs)
        assert difference.max() <= 2
        assert difference.mean() < 0.02


@pytest.mark.slow
def test_other_formats_are_cropped_alike(fix_box, photo):
    fix_box((31, 17, 111, 83))
    options = Augmentation(**PLAIN | {"size": 32})
    decoded = Image.open(io.BytesIO(encode(photo)))
    expected = augment.augment(options, encode(photo), (0, 0))
    for format in ("PNG", "BMP"):
        result = augment.augment(options, encode(decoded, format), (0, 0))
        np.testing.assert_array_equal(result, expected)


def test_grey_jpegs(run, photo):
    grey = run(encode(photo.convert("L")), (0, 1), **PLAIN)
    result = levels(grey)
    np.testing.assert_array_equal(result[:, :, 0], result[:, :, 2])


def test_flip_mirrors_and_nothing_else(run, jpeg):
    options = PLAIN | {"size": 32}
    for key in range(3):
        straight = run(jpeg, (0, key), **options)
        mirrored = run(jpeg, (0, key), **options | {"flip": 1.0})
        np.testing.assert_array_equal(mirrored, straight[:, ::-1])


@pytest.mark.slow
def test_shares_of_flips_and_of_kernels(run, photo):
    """With 200 draws the share of a half is within 0.11 in 998 of 1,000 cases."""
    jpeg = encode(photo.reduce(3))
    options = PLAIN | {"size": 32, "flip": 0.5, "interpolation": "random"}
    found = []
    for key in range(200):
        result = run(jpeg, (3, key), **options)
        for kernel in ("bilinear", "bicubic"):
            straight = run(jpeg, (3, key), **options | {"flip": 0.0, "interpolation": kernel})
            for flip, candidate in ((0, straight), (1, straight[:, ::-1])):
                if (result == candidate).all():
                    found.append((flip, kernel == "bicubic"))
    assert len(found) == 200
    np.testing.assert_allclose(np.mean(found, axis=0), 0.5, atol=0.11)


# What follows the crop -----------------------------------------------------------------------


def test_normalisation_is_that_of_evaluation():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    mean, std = (0.1, 0.5, 0.7), (0.2, 0.3, 0.4)
    ours = augment.normalize(Augmentation(size=64, mean=mean, std=std), pixels)
    expected = ImageTransform(mean=mean, std=std).normalize(pixels)
    np.testing.assert_allclose(ours, expected, atol=1e-6, rtol=0)


def test_rand_augment_gets_pixels_fill_and_kernel(monkeypatch, jpeg):
    calls = []

    def spy(options, pixels, seed, fill, interpolation):
        calls.append((options, fill, interpolation))
        assert pixels.dtype == tf.uint8
        assert seed.shape == (2,)
        return 255 - pixels

    monkeypatch.setattr(augment, "rand_augment", spy)
    options = Augmentation(**PLAIN | {"rand_augment": "rand-m5-n3"}, mean=(0.5, 0.25, 1.0))
    result = augment.augment(options, jpeg, (0, 0)).numpy()
    plain = augment.augment(Augmentation(**PLAIN, mean=(0.5, 0.25, 1.0)), jpeg, (0, 0)).numpy()
    np.testing.assert_allclose(result + plain, np.broadcast_to(result + plain, plain.shape))
    both = (result + plain) * IMAGENET_STD + 2 * np.array((0.5, 0.25, 1.0))
    np.testing.assert_allclose(both, 1, atol=1e-5)
    assert calls == [(augment.RandAugment.parse("rand-m5-n3"), [128, 64, 255], "bicubic")]


@pytest.mark.slow
def test_erasing_fills_one_rectangle_with_noise(run, jpeg):
    noise = []
    for key in range(20):
        plain = run(jpeg, (5, key), **PLAIN)
        erased = run(jpeg, (5, key), **PLAIN | {"erasing": 1.0})
        changed = (plain != erased).all(axis=2)
        rows, columns = np.nonzero(changed)
        rectangle = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert changed[rectangle].mean() > 0.999  # noise may hit the level that was there
        assert (plain != erased).sum() <= changed[rectangle].size * 3  # the rest is untouched
        noise.append(erased[rectangle].reshape(-1, 3))
    for first, second in itertools.pairwise(noise):
        assert np.isin(first, second).mean() < 0.02  # fresh noise for every image
    noise = np.concatenate(noise)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(3), atol=0.01)
    neighbours = np.mean(noise[1:] * noise[:-1])
    assert abs(neighbours) < 0.01


@pytest.mark.slow
def test_share_of_erased_images(run, jpeg):
    options = PLAIN | {"size": 32}
    erased = [
        (run(jpeg, (7, key), **options) != run(jpeg, (7, key), **options | {"erasing": 0.25})).any()
        for key in range(1000)
    ]
    assert abs(np.mean(erased) - 0.25) < 0.045  # 999 of 1,000 cases


# Seeds ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_same_seed_same_image_wherever_it_runs(run, jpeg, photo):
    files = [jpeg, encode(photo, "PNG")]
    options = Augmentation()
    seeds = [(13, key) for key in range(12)]

    def pipeline(threads):
        dataset = tf.data.Dataset.from_tensor_slices(
            ([files[key % 2] for _, key in seeds], np.array(seeds))
        )
        return list(
            dataset.map(
                lambda *arguments: augment.augment(options, *arguments), num_parallel_calls=threads
            ).as_numpy_iterator()
        )

    graph = [run(files[seed[1] % 2], seed) for seed in seeds]
    for result in (pipeline(1), pipeline(4)):
        np.testing.assert_array_equal(result, graph)
    for seed, expected in list(zip(seeds, graph, strict=True))[:4]:
        eager = augment.augment(options, files[seed[1] % 2], tf.constant(seed, tf.int64))
        np.testing.assert_array_equal(eager, expected)


def test_another_run_epoch_or_key_is_another_image(run, jpeg):
    fold = tf.random.experimental.stateless_fold_in
    options = PLAIN | {"size": 32}  # crops alone; RandAugment takes seconds to trace

    def image(seed, epoch, key):
        base = fold(tf.constant((seed, 0x5EED), tf.int64), tf.constant(epoch, tf.int64))
        return run(jpeg, fold(base, tf.constant(key, tf.int64)), **options)

    images = [image(*numbers) for numbers in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    for index, one in enumerate(images):
        for other in images[:index]:
            assert (one != other).mean() > 0.5
    np.testing.assert_array_equal(image(0, 1, 0), images[2])


def test_seeds_of_32_bits(jpeg):
    options = Augmentation(size=32)
    result = augment.augment(options, jpeg, tf.constant((1, 2), tf.int32))
    assert result.shape == (32, 32, 3)
    assert result.dtype == tf.float32


# In a pipeline -------------------------------------------------------------------------------


def test_static_shape():
    graph = graph_of(Augmentation(**PLAIN | {"size": 32})).get_concrete_function()
    assert (graph.output_shapes, graph.output_dtypes) == ((32, 32, 3), tf.float32)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff and no more", b"RIFF", b"BM"])
def test_damaged_files(run, content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(content, (0, 0), **PLAIN)


def test_truncated_jpeg(run, jpeg):
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(jpeg[:300], (0, 0), **PLAIN)
