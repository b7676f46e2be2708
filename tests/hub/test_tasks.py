"""Our classifier and segmenter for KerasHub: the numbers, the folders and the pixels of our own."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
    hub,
)
from keras_poolformer.models.resizing import resize_bilinear
from tests.helpers import MIXED, PHOTOS, error_line, randomized_model
from tests.hub.networks import CLASSES, CONFIG, SHAPE, SIZE, images, targets
from tests.segmenters import CONFIG as SEGMENTER

LABELS = ("cat", "dog", "owl")
TRANSFORM = ImageTransform(size=SIZE, crop_pct=0.8)
# The heads of both papers.
CLASSIFIERS = {"norm_pool": CONFIG.replace(labels=LABELS), "mlp": MIXED}


@pytest.fixture(params=CLASSIFIERS)
def classifier(request):
    model = randomized_model(CLASSIFIERS[request.param])
    model.transform = TRANSFORM
    return model


def random_images(model):
    channels = model.config.in_channels
    return np.random.default_rng(0).standard_normal((2, SIZE, SIZE, channels)).astype(np.float32)


def test_a_classifier_goes_to_kerashub_and_back(classifier, tmp_path):
    x = random_images(classifier)
    classifier.save_to_preset(tmp_path / "ours")
    task = hub.MetaFormerImageClassifier.from_preset(tmp_path / "ours")
    assert np.array_equal(task(x), classifier(x))
    task.save_to_preset(str(tmp_path / "theirs"))
    assert np.array_equal(
        keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "theirs"))(x), classifier(x)
    )
    back = PoolFormerImageClassifier.from_preset(tmp_path / "theirs")
    assert np.array_equal(back(x), classifier(x))
    assert back.config == classifier.config
    assert back.transform == TRANSFORM


def test_a_segmenter_goes_to_kerashub_and_back(tmp_path):
    core = randomized_model(SEGMENTER, PoolFormerSegmenter)
    x = random_images(core)
    core.save_to_preset(tmp_path / "ours")
    task = hub.MetaFormerImageSegmenter.from_preset(tmp_path / "ours")
    expected = resize_bilinear(core(x), SIZE, SIZE)
    assert np.array_equal(task(x), expected)
    task.save_to_preset(str(tmp_path / "theirs"), max_shard_size=2e-5)
    theirs = keras_hub.models.ImageSegmenter.from_preset(str(tmp_path / "theirs"))
    assert np.array_equal(theirs(x), expected)
    back = PoolFormerSegmenter.from_preset(tmp_path / "theirs")
    assert np.array_equal(back(x), core(x))
    assert back.config == core.config
    assert back.transform == core.transform


@pytest.fixture(scope="module")
def task():
    backbone = hub.MetaFormerBackbone(CONFIG, transform=TRANSFORM)
    converter = hub.MetaFormerImageConverter(TRANSFORM)
    preprocessor = hub.MetaFormerImageClassifierPreprocessor(converter)
    task = hub.MetaFormerImageClassifier(backbone, preprocessor=preprocessor, labels=LABELS)
    task.jit_compile = False  # XLA takes long to compile
    return task


def test_other_classes_of_a_folder(task, tmp_path):
    """KerasHub's own way to fine-tune: the backbone's weights, a fresh head, no old labels."""
    task.save_to_preset(str(tmp_path))
    other = keras_hub.models.ImageClassifier.from_preset(
        str(tmp_path), num_classes=7, image_shape=SHAPE
    )
    assert type(other) is hub.MetaFormerImageClassifier
    assert (other.config.num_classes, other.config.labels) == (7, None)
    assert other.input_shape == (None, *SHAPE)
    assert np.array_equal(other.backbone(images()), task.backbone(images()))
    normed = hub.MetaFormerBackbone.from_preset(tmp_path, feature_norms=True)
    assert np.array_equal(normed(images()), task.backbone(images()))


def test_pictures_go_in_as_they_are(task):
    """`predict` and the preprocessor give what `ImageTransform` gives, to the last bit."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 90, 70, 3)).astype(np.uint8)
    prepared = TRANSFORM(list(pictures))
    converter = task.preprocessor.image_converter
    for received in (
        task.preprocessor(pictures),
        converter(pictures.astype(np.float32)),
        converter([pictures[0], pictures[1]]),
        next(iter(tf.data.Dataset.from_tensors(pictures).map(converter))),
    ):
        assert np.array_equal(received, prepared)
    assert np.array_equal(converter(pictures[0]), prepared[0])
    predicted = task.predict(pictures, verbose=0)
    assert np.allclose(predicted, task(prepared), rtol=0, atol=1e-6)


def test_a_converter_is_set_and_saved():
    converter = hub.MetaFormerImageConverter({"size": 32, "crop_pct": 0.5})
    assert converter.image_size == (32, 32)
    converter.image_size = (48, 48)
    assert converter.transform == ImageTransform(size=48, crop_pct=0.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(converter))
    assert copy.transform == converter.transform
    message = error_line(converter, {"images": images(), "bounding_boxes": {}})
    assert "RetinaNetImageConverter" in message


def test_an_activation_is_part_of_the_task():
    backbone = hub.MetaFormerBackbone(CONFIG)
    task = hub.MetaFormerImageClassifier(backbone, activation="softmax")
    assert np.asarray(task(images())).sum(axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert not task.loss.from_logits
    with pytest.warns(UserWarning, match="method is custom"):  # of all KerasHub's tasks
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(task))
    copy.set_weights(task.get_weights())
    assert np.array_equal(copy(images()), task(images()))


def test_what_the_tasks_reject():
    backbone = hub.MetaFormerBackbone(CONFIG)
    assert "1 or more" in error_line(hub.MetaFormerImageClassifier, backbone, 0)
    assert "feature_norms" in error_line(hub.MetaFormerImageSegmenter, backbone)


def test_masks_of_any_size_and_pixels_without_a_class():
    config = CONFIG.replace(feature_norms=True, neck_width=8, segmentation_width=8)
    task = hub.MetaFormerImageSegmenter(hub.MetaFormerBackbone(config))
    task.jit_compile = False
    assert task.num_classes == CLASSES
    masks = targets("ImageSegmenter")[:, :50]
    masks[:, :20] = 255
    loss, iou = task.evaluate(images(), masks, verbose=0)
    predicted = tf.image.resize(task(images()), masks.shape[1:3]).numpy().argmax(-1)
    shares = [
        ((predicted == k) & (masks == k)).sum()
        / (((predicted == k) | (masks == k)) & (masks != 255)).sum()
        for k in range(CLASSES)
    ]
    assert iou == pytest.approx(np.mean(shares), rel=1e-5)
    assert np.isfinite(loss)


def test_a_photograph():
    """The shipped classifier says of a photograph what its own class says."""
    photo = np.asarray(keras.utils.load_img(PHOTOS[0]), np.uint8)
    task = hub.MetaFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    core = PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    logits = task.predict(photo[None], verbose=0)
    label, _ = core.classify(photo, top_k=1)[0]
    assert core.labels[logits[0].argmax()] == label
