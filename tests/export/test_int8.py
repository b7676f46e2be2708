"""The integer recipe: exact before rounding, integers throughout after it, and close."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_tflite,
)
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.networks.calibration import calibrate, read_calibration
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.export.networks.integer import IntegerNetwork
from keras_poolformer.export.networks.integer_operations import framed_convolution
from keras_poolformer.export.networks.ranges import Marker, Quantizer, fit_range
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError
from tests.export.family import stream_places
from tests.helpers import PHOTOS, randomized_model, relative_error

TRANSFORM = ImageTransform(size=64, crop_pct=1.0)
TINY = PoolFormerConfig(depths=(1, 2), widths=(8, 12), num_classes=5)
CONFIGS = {
    "norm_pool": TINY,
    "pool_norm": TINY.replace(head="pool_norm"),
    "embedding": TINY.replace(num_classes=0),
    "pool_norm embedding": TINY.replace(num_classes=0, head="pool_norm"),
    "no layer scale": TINY.replace(use_layer_scale=False),
    "pool size 5": TINY.replace(pool_size=5),
    "relu": TINY.replace(activation="relu"),
    "maps of one pixel": PoolFormerConfig(
        depths=(1, 1, 1, 2), widths=(8, 8, 8, 12), num_classes=3, strides=(4, 4, 4, 4)
    ),
}


@pytest.fixture(scope="module")
def preset():
    return PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")


@pytest.mark.first(3)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_without_rounding_it_is_the_model(config):
    """Whatever the channel scales are; measured 7e-7 in float32."""
    model = randomized_model(config)
    rng = np.random.default_rng(1)
    scales = {place: np.exp(rng.standard_normal(width)) for place, width in stream_places(config)}
    network = IntegerNetwork(fold(model), scales, *affine_normalization(TRANSFORM))
    pixels = TRANSFORM.pixels(PHOTOS[:2])
    received = network(tf.constant(pixels, tf.float32), Marker())
    assert relative_error(received, model(TRANSFORM.normalize(pixels))) <= 3e-6


@pytest.mark.parametrize("side", [64, 65, 66, 67])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"), [(7, 4, 2), (3, 2, 1), (4, 4, 0), (7, 1, 3)]
)
def test_a_framed_convolution_is_the_padded_one(side, kernel_size, stride, padding):
    """At sides whose last pixels no kernel reaches, too; measured 5e-7. PyTorch pads as it says."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for channels in (3, 4):
        x = rng.standard_normal((2, side, side + 1, channels), np.float32)
        kernel = rng.standard_normal((kernel_size, kernel_size, channels, 5), np.float32)
        bias, pixel = rng.standard_normal((2, 5)), rng.standard_normal(channels)
        received = framed_convolution(
            tf.constant(x), kernel, bias[0], stride, padding, pixel, lambda tensor: tensor
        )
        centered = (x - pixel).astype(np.float32).transpose(0, 3, 1, 2)  # a frame of zeros
        expected = torch.nn.functional.conv2d(
            torch.tensor(centered),
            torch.tensor(kernel.transpose(3, 2, 0, 1)),
            None,
            stride,
            padding,
        ).numpy()
        constants = bias[0] + (kernel * pixel[:, None]).sum((0, 1, 2))
        assert relative_error(received, expected.transpose(0, 2, 3, 1) + constants) <= 1e-6


@pytest.mark.first(1)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_tensor_of_the_file_is_integer(config, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(
        randomized_model(config), path, recipe="int8", calibration=PHOTOS[:4], transform=TRANSFORM
    )
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    tensors = {one["index"]: one for one in interpreter.get_tensor_details()}
    used = {
        index
        for operator in interpreter._get_ops_details()
        for index in (*operator["inputs"], *operator["outputs"])
        if index >= 0
    }
    dtypes = {np.dtype(tensors[index]["dtype"]).name for index in used}
    assert dtypes == {"int8", "uint8", "int32"}
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    # MediaPipe reads uint8 embeddings; logits stay as the network computes them.
    is_embedding = not config.num_classes
    assert interpreter.get_output_details()[0]["dtype"] == (np.uint8 if is_embedding else np.int8)
    operators = TFLiteClassifier(path).operators()
    assert operators.count("QUANTIZE") == 1 + is_embedding  # between uint8 and int8
    assert "DEQUANTIZE" not in operators
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in operators)


@pytest.mark.parametrize("constant", [0.0, 5.0])
def test_a_mean_that_is_not_subtracted_costs_little(constant):
    """A constant in the stream, in what differs between images; measured 0.013 and 0.062.

    With a mean that is subtracted before the squares are taken, 0.064.
    """
    model = randomized_model(TINY)
    for variable in model.weights:
        if variable.path.endswith("embedding/projection/bias"):
            variable.assign_add(np.full(variable.shape, constant, np.float32))
    pixels = TRANSFORM.pixels(PHOTOS[:8])
    network, ranges = calibrate(fold(model), TRANSFORM, pixels)
    received = network(tf.constant(pixels, tf.float32), Quantizer(ranges)).numpy()
    expected = model(TRANSFORM.normalize(pixels)).numpy()
    assert relative_error(received - received.mean(0), expected - expected.mean(0)) <= 0.1


@pytest.mark.slow
def test_the_preset_stays_close(preset, tmp_path):
    """Few images to calibrate by; docs/quantization.md has the figures of a fair test."""
    images = [photo for photo in PHOTOS if photo.name.startswith("cifar10")]
    path = tmp_path / "m.tflite"
    result = export_tflite(preset, path, recipe="int8", calibration=images)
    assert result.calibration_images == 24
    classifier = TFLiteClassifier(path)
    transform = classifier.transform
    received = classifier.predict(transform.pixels(images))
    expected = preset.predict_on_batch(transform(images))
    assert relative_error(received, expected) <= 0.11  # measured 0.08
    assert (received.argmax(1) == expected.argmax(1)).mean() >= 22 / 24


@pytest.mark.slow
def test_probabilities(preset, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(preset, path, recipe="int8", calibration=PHOTOS[4:20], outputs="probabilities")
    (top, probability), *_ = TFLiteClassifier(path).classify(ASSETS / "photos" / "chelsea.jpg")
    assert top == "cat"
    assert 0.5 < probability < 1


@pytest.mark.slow
def test_correcting_biases_keeps_the_mean_of_the_stream(preset):
    """Rounding moves the mean of each channel; block by block it is moved back."""
    transform = ImageTransform.from_preset("poolformer_tiny_cifar10")
    images = transform.pixels(PHOTOS)
    network, ranges = calibrate(fold(preset), transform, images)
    uncorrected = IntegerNetwork(
        fold(preset), network.scales, network.pixel_scale, network.pixel_offset
    )

    def channel_means(one, mark):
        x = tf.constant(images, tf.float32)
        for index, stage in enumerate(one.network.stages):
            x = one.embedding(index, x, mark)
            for number in range(len(stage.blocks)):
                x = one.block(index, number, x, mark)
        return np.asarray(x).mean((0, 1, 2))

    expected = channel_means(uncorrected, Marker())
    corrected, drifted = (
        relative_error(channel_means(one, Quantizer(ranges)), expected)
        for one in (network, uncorrected)
    )
    assert corrected < drifted / 3  # measured 0.08


def test_statistics_are_gathered_by_place(preset):
    """Each stage's stream is its embedding and both sums of each of its blocks."""
    places = []

    class Listing(Marker):
        def __call__(self, place, tensor):
            places.append(place)
            return tensor

    transform = ImageTransform.from_preset("poolformer_tiny_cifar10")
    scales = {place: np.ones(width) for place, width in stream_places(preset.config)}
    network = IntegerNetwork(fold(preset), scales, *affine_normalization(transform))
    network(tf.constant(transform.pixels(PHOTOS[:1]), tf.float32), Listing())
    assert len(places) == len(set(places))
    for stage, depth in enumerate(preset.config.depths):
        stream = [place for place in places if place.stage == stage and place.is_stream]
        assert len(stream) == 1 + 2 * depth
        outputs = [place.block for place in stream if place.is_block_output]
        assert outputs == list(range(depth))


def test_a_range_clips_a_long_tail():
    values = np.random.default_rng(0).standard_normal(100_000) ** 3
    low, high = fit_range(values, values.min(), values.max())
    assert 0.2 * values.max() < high < 0.9 * values.max()
    assert low / values.min() == pytest.approx(high / values.max())
    assert fit_range(np.zeros(5), 0.0, 0.0) == (0.0, 1.0)
    uniform = np.linspace(-1, 1, 1001)
    assert fit_range(uniform, -1.0, 1.0) == (-1.0, 1.0)


class TestCalibrationImages:
    def test_a_folder_is_searched_through(self, tmp_path):
        (tmp_path / "a").mkdir()
        for number, photo in enumerate(PHOTOS[:3]):
            (tmp_path / "a" / f"{number}{photo.suffix}").write_bytes(photo.read_bytes())
        (tmp_path / "notes.txt").write_text("no image", encoding="utf-8", newline="\n")
        images, skipped = read_calibration(tmp_path, TRANSFORM)
        assert np.array_equal(images, TRANSFORM.pixels(PHOTOS[:3]))
        assert skipped == []

    def test_a_broken_image_is_named_or_skipped_on_request(self, tmp_path):
        (tmp_path / "good.jpg").write_bytes(PHOTOS[0].read_bytes())
        (tmp_path / "broken.jpg").write_bytes(PHOTOS[0].read_bytes()[:99])
        with pytest.raises(InputError, match=r"broken\.jpg"):
            read_calibration(tmp_path, TRANSFORM)
        images, skipped = read_calibration(tmp_path, TRANSFORM, skip_broken=True)
        assert len(images) == 1
        assert skipped == [str(tmp_path / "broken.jpg")]

    @pytest.mark.parametrize(
        ("calibration", "words"),
        [
            (None, "needs calibration images"),
            ([], "at least one readable image"),
            ("nowhere", "must be a folder"),
            (np.zeros((2, 64, 64, 5), "uint8"), r"uint8 of shape \(H, W\)"),
            (np.zeros((2, 64, 64, 3), "float32"), "uint8"),
        ],
        ids=["none", "empty", "missing", "channels", "dtype"],
    )
    def test_unusable_ones_are_refused(self, preset, tmp_path, calibration, words):
        with pytest.raises(InputError, match=words) as raised:
            export_tflite(preset, tmp_path / "m.tflite", recipe="int8", calibration=calibration)
        assert "\n" not in str(raised.value)
        assert not list(tmp_path.iterdir())

    def test_floats_cannot_go_in(self, preset, tmp_path):
        with pytest.raises(InputError, match="takes `inputs`='pixels'"):
            export_tflite(
                preset, tmp_path / "m", recipe="int8", inputs="normalized", calibration=PHOTOS
            )

    def test_four_channels_are_refused(self, tmp_path):
        model = PoolFormerImageClassifier(TINY.replace(in_channels=4))
        with pytest.raises(InputError, match="RGB"):
            export_tflite(model, tmp_path / "m", recipe="int8", calibration=PHOTOS)


@pytest.mark.slow
def test_the_exact_network_runs_in_batches(preset):
    """Calibration batches are smaller than the set; the last one is not full."""
    transform = ImageTransform.from_preset("poolformer_tiny_cifar10")
    pixels, steps = transform.pixels(PHOTOS[:17]), []
    calibrate(fold(preset), transform, pixels, lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert keras.backend.backend() == "tensorflow"
