"""The transform inside TensorFlow graphs against the same transform with Pillow.

Measured with Pillow 13, 12.3 and 12.1: no pixel differs. Another libm may move a weight's last
bit, so a difference of 1 of 255 is allowed in one value of 10,000.
"""

import sys

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError

tf = pytest.importorskip("tensorflow")
graph = pytest.importorskip("keras_poolformer.images.graph")

SIZES = [
    (1, 1), (2, 3), (7, 5), (1, 60), (50, 1), (37, 400), (500, 333), (333, 500), (224, 224),
    (225, 224), (223, 1000), (640, 480), (481, 641), (100, 100), (13, 900), (900, 13), (248, 248),
    (247, 249), (235, 236), (496, 497), (600, 1399), (1023, 767), (64, 64), (65, 64), (64, 127),
]  # fmt: skip  # (width, height)


def assert_same_pixels(ours, pillows, name=""):
    assert ours.shape == pillows.shape, name
    difference = np.abs(ours.astype(int) - pillows)
    assert difference.max() <= 1, f"{name}: {difference.max()}"
    assert difference.mean() < 1e-4, f"{name}: {difference.mean()}"


def in_graph(function, transform, shape=(None, None, 3)):
    """`function` traced once for images of unknown size."""
    signature = [tf.TensorSpec(shape, tf.uint8)]
    return tf.function(lambda images: function(transform, images), input_signature=signature)


@pytest.fixture(scope="module")
def photo(rgb_photographs):
    return np.array(rgb_photographs[0].resize((97, 61)))


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crop_pct": 0.95, "crop_mode": "hf"},
        {"do_resize": False},
        {"crop_pct": 0.95},
        {"size": 64, "crop_pct": 1.0},
        {"size": 65, "crop_pct": None, "crop_mode": "hf"},
        {"size": 100, "crop_size": 301},
        {"size": 100, "crop_size": 301, "crop_mode": "hf"},
    ],
    ids=str,
)
def test_pixels_are_pillows(options, photographs_of):
    transform = ImageTransform(**options)
    pixels = in_graph(graph.pixels, transform)
    for image in photographs_of(SIZES):
        assert_same_pixels(pixels(np.array(image)).numpy(), transform.pixels(image), image.size)


@pytest.mark.first(2)
@pytest.mark.parametrize("interpolation", ["nearest", "lanczos", "bilinear", "box", "hamming"])
def test_every_interpolation(interpolation, photographs_of):
    transform = ImageTransform(size=80, interpolation=interpolation)
    pixels = in_graph(graph.pixels, transform)
    for image in photographs_of(SIZES):
        assert_same_pixels(pixels(np.array(image)).numpy(), transform.pixels(image), image.size)


def test_noise_and_extremes():
    transform = ImageTransform()
    pixels = in_graph(graph.pixels, transform)
    random = np.random.default_rng(0)
    for height, width in [(300, 401), (150, 151), (699, 300), (300, 699)]:
        noise = random.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255
        assert_same_pixels(pixels(noise).numpy(), transform.pixels(noise), (width, height))


def test_without_a_crop(photographs_of):
    transform = ImageTransform(size=50, do_center_crop=False)
    pixels = in_graph(graph.pixels, transform)
    for image in photographs_of(SIZES):
        if max(image.size) < 20 * min(image.size):
            assert_same_pixels(pixels(np.array(image)).numpy(), transform.pixels(image))


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "options",
    [{}, {"crop_mode": "hf"}, {"do_normalize": False}, {"do_rescale": False}, {"std": 0.3}],
    ids=str,
)
def test_values_are_the_normalised_pixels(options, photo):
    transform = ImageTransform(size=48, **options)
    expected = transform.normalize(graph.pixels(transform, photo).numpy())
    for values in (transform.tf(photo), in_graph(graph.transform, transform)(photo)):
        assert values.dtype == tf.float32
        np.testing.assert_array_equal(values.numpy(), expected)


@pytest.mark.slow
def test_batches(photo):
    transform = ImageTransform(size=48)
    batch = np.stack([photo, photo[::-1], 255 - photo])
    for shape in ((None, None, None, 3), (3, None, None, None), batch.shape):
        pixels = in_graph(graph.pixels, transform, shape)(batch).numpy()
        for ours, image in zip(pixels, batch, strict=True):
            assert_same_pixels(ours, transform.pixels(image))
    np.testing.assert_array_equal(transform.tf(batch).numpy(), transform.normalize(pixels))


def test_in_a_dataset_with_static_shapes(rgb_photographs):
    transform = ImageTransform(size=64)
    images = [np.array(photo.resize(size)) for photo, size in zip(rgb_photographs, SIZES[5:])]  # noqa: B905
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    )
    dataset = dataset.map(transform.tf, num_parallel_calls=2).batch(len(images))
    assert dataset.element_spec.shape.as_list() == [None, 64, 64, 3]
    batch = next(iter(dataset)).numpy()
    expected = transform([Image.fromarray(image) for image in images])
    # one level of 255 is at most 1 / 255 / 0.224
    np.testing.assert_allclose(batch, expected, atol=0.0176)
    assert np.mean(batch != expected) < 1e-4


def test_in_a_saved_model(photo, tmp_path):
    transform = ImageTransform(size=48)
    module = tf.Module()
    module.serve = in_graph(graph.transform, transform, (None, None, None, 3))
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for image in (photo, photo.transpose(1, 0, 2)):
        (values,) = serve(tf.constant(image[None])).values()
        np.testing.assert_array_equal(values.numpy()[0], transform.tf(image).numpy())


@pytest.mark.parametrize(
    "spec",
    [
        tf.TensorSpec((None, None, 3), tf.int32),
        tf.TensorSpec((None, None, 4), tf.float32),
        tf.TensorSpec((None, None, 4), tf.uint8),
        tf.TensorSpec((None, 3), tf.uint8),
        tf.TensorSpec((0, 5, 3), tf.uint8),
        tf.TensorSpec(None, tf.uint8),
    ],
    ids=str,
)
def test_wrong_tensors_are_refused(spec):
    for autograph in (False, True):
        plain = tf.function(ImageTransform().tf, autograph=autograph)
        with pytest.raises(InputError, match="expected a uint8 or float tensor"):
            plain.get_concrete_function(spec)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16, tf.float64])
def test_floats_are_taken_as_levels(photo, dtype):
    transform = ImageTransform(size=48)
    levels = photo.astype(np.float32)
    received = transform.tf(tf.cast(levels, dtype)).numpy()
    np.testing.assert_array_equal(received, transform.tf(photo).numpy())
    np.testing.assert_array_equal(transform.tf(levels + 0.4), transform.tf(photo))
    beyond = tf.constant(levels * 2 - 100)
    clipped = np.clip(levels * 2 - 100, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(transform.tf(beyond), transform.tf(clipped))


@pytest.mark.slow
def test_keras_own_directories(rgb_photographs, tmp_path, capfd, caplog):
    import keras

    (tmp_path / "cat").mkdir()
    rgb_photographs[0].resize((70, 60)).save(tmp_path / "cat" / "1.png")
    data = keras.utils.image_dataset_from_directory(
        tmp_path, labels=None, image_size=(60, 70), batch_size=1, verbose=False
    )
    transform = ImageTransform(size=48)
    for dataset in (data.map(transform.tf), data.map(lambda images: transform.tf(images))):
        received = next(iter(dataset)).numpy()[0]
        np.testing.assert_array_equal(received, transform(tmp_path / "cat" / "1.png"))
    # From Python 3.13 on, TensorFlow 2.21 says of every function that it cannot transform it.
    if sys.version_info < (3, 13):
        assert "AutoGraph" not in capfd.readouterr().err + caplog.text


def test_wrong_shapes_that_only_the_run_shows(photo):
    values = in_graph(graph.transform, ImageTransform(size=8), (None, None, None))
    for wrong in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 1), np.uint8)):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="expected a uint8 or float tensor"
        ):
            values(wrong)
    assert values(photo).shape == (8, 8, 3)
