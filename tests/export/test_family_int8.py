"""Every family in 8 bits: exact before rounding, integers throughout after it, and close."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_poolformer import PoolFormerBackbone, export_tflite
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.networks.calibration import calibrate
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.export.networks.integer import IntegerNetwork
from keras_poolformer.export.networks.places import EMBEDDING, MIXER_SUM, MLP_SUM, Place
from keras_poolformer.export.networks.ranges import Marker, Quantizer, Recorder
from keras_poolformer.export.networks.scaling import LARGEST_DRIFT
from keras_poolformer.runtime import TFLiteClassifier
from tests.export.family import FAMILIES, MIXTURES, TRANSFORM, family_model, stream_places
from tests.helpers import PHOTOS, relative_error

# Relative L2 error of the logits on the calibration images; measured up to 0.06.
TOLERANCE = 0.12
# Operators without an integer kernel in XNNPACK, for which LiteRT has its own.
NOT_IN_XNNPACK = {"QUANTIZE", "RSQRT", "BATCH_MATMUL", "SOFTMAX", "GELU"}


@pytest.mark.first(5)
@pytest.mark.parametrize("name", [*FAMILIES, *MIXTURES])
def test_without_rounding_it_is_the_model(name):
    """Whatever the constants of the stream are, negative ones too; measured 1e-6 in float32."""
    config = (FAMILIES | MIXTURES)[name]
    model = family_model(config, any_sign=True)
    random = np.random.default_rng(1)
    scales = {
        place: np.exp(random.standard_normal(width)) * random.choice((-1, 1), width)
        for place, width in stream_places(config)
    }
    folded = fold(model, split_depthwise=True)
    network = IntegerNetwork(folded, scales, *affine_normalization(TRANSFORM))
    pixels = TRANSFORM.pixels(PHOTOS[:2])
    received = network(tf.constant(pixels, tf.float32), Marker())
    assert relative_error(received, model(TRANSFORM.normalize(pixels))) <= 5e-6


def test_without_rounding_it_is_the_backbone():
    """Its pyramid, normed, without biases."""
    config = FAMILIES["convformer"].replace(feature_norms=True)
    model = family_model(config, PoolFormerBackbone)
    scales = {place: np.full(width, 0.5) for place, width in stream_places(config)}
    network = IntegerNetwork(fold(model), scales, *affine_normalization(TRANSFORM))
    pixels = TRANSFORM.pixels(PHOTOS[:2])
    received = network(tf.constant(pixels, tf.float32), Marker())
    expected = model.feature_extractor()(TRANSFORM.normalize(pixels))
    assert received.keys() == expected.keys()
    assert max(relative_error(received[level], expected[level]) for level in expected) <= 5e-6


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "name", ["caformer", "randformer", "convformer", "identityformer", "poolformerv2", *MIXTURES]
)
def test_the_file_is_integer_and_close(name, tmp_path):
    model = family_model((FAMILIES | MIXTURES)[name])
    path = tmp_path / "m.tflite"
    result = export_tflite(model, path, recipe="int8", calibration=PHOTOS[:8], transform=TRANSFORM)
    print(name, dict(result.errors))
    assert result.errors["calibration"] <= TOLERANCE
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    used = {
        index
        for operator in interpreter._get_ops_details()
        for index in (*operator["inputs"], *operator["outputs"])
        if index >= 0
    }
    dtypes = {np.dtype(tensors[index]["dtype"]).name for index in used}
    assert dtypes == {"int8", "uint8", "int32"}
    classifier = TFLiteClassifier(path)
    # Reshapes and transposes keep the range of what they move.
    assert classifier.operators().count("QUANTIZE") == 1 + (not model.config.num_classes)
    assert set(classifier.operators_outside_xnnpack()) <= NOT_IN_XNNPACK


@pytest.mark.slow
def test_pixels_that_are_all_alike_leave_no_sum_that_is_too_fine(tmp_path):
    """What attention mixes is a difference, here a millionth of its terms; LiteRT would crash."""
    model = family_model(FAMILIES["caformer"])
    embedding = model.backbone.get_layer("stages_1_embedding")
    embedding.projection.kernel.assign(1e-6 * embedding.projection.kernel)
    path = tmp_path / "m.tflite"
    result = export_tflite(model, path, recipe="int8", calibration=PHOTOS[:8], transform=TRANSFORM)
    print(dict(result.errors))
    assert result.errors["calibration"] <= TOLERANCE


def test_a_sum_has_at_least_a_step_of_its_terms():
    recorder = Recorder()
    places = [Place(0, 0, role) for role in ("term", "fine sum", "finer sum", "ordinary sum")]
    term, fine, finer, ordinary = places
    values = np.linspace(-1.0, 1.0, 101, dtype=np.float32)
    recorder(term, values)
    recorder.sum(fine, 1e-6 * values, [term])
    recorder.sum(finer, 1e-12 * values, [fine])
    recorder.sum(ordinary, values / 100, [term])
    ranges = recorder.ranges()
    widths = {place: high - low for place, (low, high) in ranges.items()}
    assert widths[fine] == pytest.approx(widths[term] / 256)
    assert widths[finer] == pytest.approx(widths[fine] / 256)
    assert widths[ordinary] == pytest.approx(widths[term] / 100)


@pytest.fixture(scope="module")
def pixels():
    return TRANSFORM.pixels(PHOTOS[:8])


def shortcuts_multiplied(model, pixels):
    """(Places whose shortcut is a product, constants of the stream) of a calibrated network."""
    network, ranges = calibrate(fold(model), TRANSFORM, pixels)
    # What is looked up while the network runs is what it consists of.
    network(tf.constant(pixels[:1], tf.float32), Quantizer(ranges))
    places = {place.role for place in ranges if place.role.endswith("shortcut")}
    return places, network.scales


def test_shortcuts_go_into_the_constants_of_the_stream(pixels):
    model = family_model(FAMILIES["identityformer"])
    multiplied, scales = shortcuts_multiplied(model, pixels)
    assert not multiplied
    block = model.backbone.get_layer("stages_1_blocks_0")
    stream, mixed, output = (
        scales[place]
        for place in (Place(1, None, EMBEDDING), Place(1, 0, MIXER_SUM), Place(1, 0, MLP_SUM))
    )
    assert np.allclose(mixed, stream * np.asarray(block.res_scale1.gamma))
    assert np.allclose(output, mixed * np.asarray(block.res_scale2.gamma))
    unscaled = [scales[Place(0, 0, role)] for role in (MIXER_SUM, MLP_SUM)]
    assert all(np.array_equal(scale, scales[Place(0, None, EMBEDDING)]) for scale in unscaled)


@pytest.mark.first(2)
@pytest.mark.parametrize("value", [0.0, -1.0, 1.1 * LARGEST_DRIFT, 0.9 / LARGEST_DRIFT])
def test_other_shortcuts_are_multiplied(value, pixels):
    """The channel would have less than half of its range, or nothing at all."""
    model = family_model(FAMILIES["identityformer"])
    scales = np.ones(32)
    block = model.backbone.get_layer("stages_1_blocks_0")
    block.res_scale1.gamma.assign(scales)
    scales[3] = value
    block.res_scale2.gamma.assign(scales)
    multiplied, _ = shortcuts_multiplied(model, pixels)
    assert multiplied == {"mlp sum shortcut"}
