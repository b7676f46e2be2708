"""Segmenters as .tflite files and SavedModels, by recipe and output."""

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    export_saved_model,
    export_tflite,
)
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.label_maps import label_map
from keras_poolformer.runtime import TFLiteBackbone, TFLiteSegmenter
from keras_poolformer.runtime.description import read_description
from keras_poolformer.scores import softmax
from keras_poolformer.support.errors import InputError
from tests.export.segmenters import TRANSFORM, randomized
from tests.helpers import PHOTOS, TINY, relative_error
from tests.segmenters import CONFIG, LABELS, PALETTE

# Relative L2 error; measured at most 6e-7, 6e-4 and 0.02 on these randomized weights.
TOLERANCES = {"fp32": 2e-6, "fp16": 2e-3, "dynamic_int8": 0.05}


@pytest.fixture(scope="module")
def model():
    return randomized(CONFIG.replace(labels=LABELS, palette=PALETTE))


@pytest.fixture(scope="module")
def logits(model):
    return model.predict_on_batch(TRANSFORM(PHOTOS[20:24]))


@pytest.mark.parametrize("recipe", TOLERANCES)
@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_a_quarter_of_the_size_in_one_partition(model, logits, recipe, outputs, tmp_path):
    path = tmp_path / "m.tflite"
    result = export_tflite(model, path, recipe, outputs=outputs, transform=TRANSFORM)
    assert result.partitions == 1
    exported = TFLiteSegmenter(path)
    assert exported.operators_outside_xnnpack() == []
    received = exported.predict(exported.prepare(PHOTOS[20:24]))
    assert received.shape == (4, 16, 24, 5)
    expected = logits if outputs == "logits" else softmax(logits)
    error = relative_error(received, expected)
    print(f"{recipe} {outputs}: {error:.2g}, of the export {result.error:.2g}")
    assert error <= TOLERANCES[recipe]
    assert 0 < result.error <= TOLERANCES[recipe]


@pytest.mark.parametrize("recipe", TOLERANCES)
def test_labels_of_every_pixel(model, logits, recipe, tmp_path):
    path = tmp_path / "m.tflite"
    result = export_tflite(
        model, path, recipe, inputs="pixels", outputs="labels", transform=TRANSFORM
    )
    exported = TFLiteSegmenter(path)
    assert (result.partitions, result.operators["ARG_MAX"]) == (1, 1)
    assert exported.operators_outside_xnnpack() == ["CAST", "ARG_MAX", "CAST"]
    received = exported.predict(exported.prepare(PHOTOS[20:24]))
    size = TRANSFORM.output_shape
    expected = np.stack([label_map(one, size, size) for one in logits])
    assert received.shape == (4, *size)
    different = np.mean(received != expected)
    print(f"{recipe}: {different:.2g}")
    assert different <= {"fp32": 1e-4, "fp16": 2e-3, "dynamic_int8": 0.05}[recipe]
    assert result.error <= 0.05


def test_the_file_says_what_it_is(model, tmp_path):
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


def test_images_of_any_size_become_squares(model, tmp_path):
    """For files, whose images have one size; labels go back to the image's own."""
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
