"""Segmenters as .tflite files and SavedModels, by recipe and output."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    export_saved_model,
    export_tflite,
)
from keras_poolformer.export.graphs import affine_normalization
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.export.networks.integer import IntegerNetwork
from keras_poolformer.export.networks.ranges import Marker
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.label_maps import label_map
from keras_poolformer.runtime import TFLiteBackbone, TFLiteSegmenter
from keras_poolformer.runtime.description import read_description
from keras_poolformer.scores import softmax
from keras_poolformer.support.errors import InputError
from tests.export.family import stream_places
from tests.export.segmenters import TRANSFORM, randomized
from tests.helpers import PHOTOS, TINY, relative_error
from tests.segmenters import CONFIG, LABELS, PALETTE, SHALLOW

# Relative L2 error; measured at most 6e-7, 5e-4, 0.012 and 0.03 on these randomized weights.
TOLERANCES = {"fp32": 2e-6, "fp16": 2e-3, "dynamic_int8": 0.04, "int8": 0.1}
# Share of pixels with other labels; measured 0, 0, 0.004 and 0.008.
OTHER_LABELS = {"fp32": 1e-4, "fp16": 1e-3, "dynamic_int8": 0.015, "int8": 0.03}
# Operators without an integer kernel in XNNPACK, for which LiteRT has its own.
NOT_IN_XNNPACK = {"QUANTIZE", "RSQRT", "GELU", "SOFTMAX", "ARG_MAX", "CAST"}


@pytest.fixture(scope="module")
def model():
    return randomized(CONFIG.replace(labels=LABELS, palette=PALETTE))


@pytest.fixture(scope="module")
def logits(model):
    return model.predict_on_batch(TRANSFORM(PHOTOS[20:24]))


def export(model, path, recipe, outputs, **options):
    """The result of an export at `TRANSFORM`'s size, and the file, opened."""
    result = export_tflite(
        model,
        path,
        recipe,
        outputs=outputs,
        transform=TRANSFORM,
        calibration=PHOTOS[:12] if recipe == "int8" else None,
        **options,
    )
    return result, TFLiteSegmenter(path)


@pytest.mark.first(2)
@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
@pytest.mark.parametrize("recipe", TOLERANCES)
def test_a_quarter_of_the_size(model, logits, recipe, outputs, tmp_path):
    result, exported = export(model, tmp_path / "m.tflite", recipe, outputs)
    received = exported.predict(exported.prepare(PHOTOS[20:24]))
    assert received.shape == (4, 16, 24, 5)
    expected = logits if outputs == "logits" else softmax(logits)
    error = relative_error(received, expected)
    print(f"{recipe} {outputs}: {error:.2g}, of the export {result.error:.2g}")
    assert error <= TOLERANCES[recipe]
    assert 0 < result.error <= TOLERANCES[recipe]
    if recipe == "int8":
        assert set(exported.operators_outside_xnnpack()) <= NOT_IN_XNNPACK
    else:
        assert (result.partitions, exported.operators_outside_xnnpack()) == (1, [])


@pytest.mark.first(1)
@pytest.mark.parametrize("recipe", OTHER_LABELS)
def test_labels_of_every_pixel(model, logits, recipe, tmp_path):
    result, exported = export(model, tmp_path / "m.tflite", recipe, "labels")
    received = exported.predict(exported.prepare(PHOTOS[20:24]))
    size = TRANSFORM.output_shape
    expected = np.stack([label_map(one, size, size) for one in logits])
    assert received.shape == (4, *size)
    different = np.mean(received != expected)
    print(f"{recipe}: {different:.2g}, of the export {result.error:.2g}")
    assert max(different, result.error) <= OTHER_LABELS[recipe]
    if recipe != "int8":
        outside = exported.operators_outside_xnnpack()
        assert (result.partitions, outside) == (1, ["ARG_MAX", "CAST"])


@pytest.mark.parametrize("outputs", ["logits", pytest.param("labels", marks=pytest.mark.slow)])
def test_every_tensor_of_int8_is_integer(outputs, tmp_path):
    export(randomized(SHALLOW), tmp_path / "m.tflite", "int8", outputs)
    interpreter = Interpreter(
        model_path=str(tmp_path / "m.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    dtypes = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert dtypes == {"int8", "uint8", "int32"}
    [output] = interpreter.get_output_details()
    assert output["dtype"] == (np.int8 if outputs == "logits" else np.uint8)


def test_without_rounding_the_integer_network_is_the_model(model):
    """Whatever the constants of the stream are; measured 1e-6 in float32."""
    random = np.random.default_rng(1)
    scales = {
        place: np.exp(random.standard_normal(width)) for place, width in stream_places(CONFIG)
    }
    network = IntegerNetwork(fold(model), scales, *affine_normalization(TRANSFORM))
    pixels = TRANSFORM.pixels(PHOTOS[:2])
    received = network(tf.constant(pixels, tf.float32), Marker())
    expected = model.predict_on_batch(TRANSFORM.normalize(pixels))
    assert relative_error(received, expected) <= 5e-6


def test_the_file_says_what_it_is(tmp_path):
    model = randomized(SHALLOW.replace(labels=LABELS, palette=PALETTE))
    path = tmp_path / "m.tflite"
    export_tflite(model, path, transform=TRANSFORM)
    description = read_description(path)
    assert (description.task, description.outputs) == ("segmentation", "logits")
    assert (description.labels, description.palette) == (LABELS, PALETTE)
    assert description.transform == TRANSFORM


def test_the_pyramid_is_the_backbones(model, tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(model, path, outputs="pyramid", transform=TRANSFORM)
    received = TFLiteBackbone(path).predict(TRANSFORM(PHOTOS[:2]))
    expected = model.backbone.feature_extractor()(TRANSFORM(PHOTOS[:2]))
    assert max(relative_error(received[name], expected[name]) for name in expected) <= 2e-6
    with pytest.raises(InputError, match="must be a segmenter's file"):
        TFLiteSegmenter(path)


def test_images_of_any_size_become_squares(tmp_path):
    """For files, whose images have one size; labels go back to the image's own."""
    model = randomized(SHALLOW)
    path = tmp_path / "m.tflite"
    export_tflite(model, path, transform=segmentation_transform(64))
    exported = TFLiteSegmenter(path)
    assert exported.input_shape == (64, 64, 3)
    assert exported.transform == segmentation_transform((64, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": "embedding"}, "only a classifier has `outputs`='embedding'"),
        ({"transform": segmentation_transform((64, 72))}, "multiples of 32. Received: 64 x 72"),
        ({"transform": ImageTransform(size=64)}, "do_center_crop=True"),
        ({"transform": TRANSFORM.replace(do_resize=False)}, "do_resize=False"),
    ],
)
def test_what_a_segmenter_has_not(model, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export_tflite(model, tmp_path / "m.tflite", **{"transform": TRANSFORM, **options})
    assert not list(tmp_path.iterdir())


def test_a_classifier_has_no_labels_of_pixels(tmp_path):
    with pytest.raises(InputError, match="only a segmenter has `outputs`='labels'"):
        export_tflite(PoolFormerImageClassifier(TINY), tmp_path / "m.tflite", outputs="labels")


@pytest.mark.slow
def test_more_classes_than_a_byte_holds(tmp_path):
    model = randomized(CONFIG.replace(num_classes=257))
    with pytest.raises(InputError, match="257 classes"):
        export_tflite(model, tmp_path / "no.tflite", outputs="labels", transform=TRANSFORM)
    path = tmp_path / "m.tflite"
    export_tflite(model, path, transform=TRANSFORM)
    labels = TFLiteSegmenter(path).segment(PHOTOS[0])
    model.transform = TRANSFORM
    expected = model.predict_labels(PHOTOS[0])
    assert labels.dtype == expected.dtype == np.uint16
    assert np.mean(labels == expected) >= 0.999  # measured 1


@pytest.mark.slow
def test_saved_model(model, tmp_path):
    path = export_saved_model(model, tmp_path / "m", transform=segmentation_transform(64))
    assert read_description(path).task == "segmentation"
    loaded = tf.saved_model.load(path)
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, (1, 80, 128, 3), np.uint8))
    received = loaded.signatures["pixels"](images=pixels)
    prepared = segmentation_transform(64)(pixels[0].numpy())
    assert prepared.shape == (64, 128, 3)
    expected = model.predict_on_batch(prepared[None])
    assert relative_error(received["logits"], expected) <= 1e-4
    assert relative_error(received["probabilities"], softmax(expected)) <= 1e-4
    labels = label_map(expected[0], (64, 128), (64, 128))
    assert received["labels"].dtype == tf.uint8
    assert np.mean(received["labels"][0] == labels) >= 0.999
