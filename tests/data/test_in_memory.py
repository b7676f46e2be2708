"""Arrays and tf.data data sets as data: the same images as their files, in every place."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_poolformer import evaluate, prepare
from keras_poolformer.data import open_masked_splits, open_splits
from keras_poolformer.data.decoding import decode
from keras_poolformer.data.masks import read_mask
from keras_poolformer.data.splits.in_memory import read_pairs
from keras_poolformer.data.splits.opening import open_labeled
from keras_poolformer.data.splits.validation import validate
from keras_poolformer.images.files import EncodedImage
from tests.helpers import error_line

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (7, 6, 5, 3), np.uint8)
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])
MASKS = RANDOM.integers(0, 3, (7, 6, 5), np.uint8)
DATASET = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


def loaded(split, order_seed=None):
    """What the pipeline gets of each example, decoded."""
    examples = [split.load(raw) for raw in split.stream(order_seed)]
    keys = [int(example["key"]) for example in examples]
    images = np.stack([decode(example["image"]).numpy() for example in examples])
    return images, [example[split.target.name].numpy() for example in examples], keys


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES, LABELS),
        (list(IMAGES), LABELS[:, None].astype(np.uint8)),
        ([Image.fromarray(image) for image in IMAGES], LABELS.tolist()),
        DATASET,
        DATASET.batch(3),
        DATASET.map(lambda image, label: (image, tf.cast(label[None], tf.int32))),
    ],
    ids=["arrays", "lists", "PIL images", "single", "batches", "columns"],
)
def test_all_forms_are_the_same_examples(data):
    split, none = open_splits(data)
    images, labels, keys = loaded(split)
    np.testing.assert_array_equal(images, IMAGES)
    assert (labels, keys, none) == (LABELS.tolist(), list(range(7)), None)
    assert (split.class_names, split.num_examples) == (("0", "1", "2"), 7)
    assert split.name == read_pairs((IMAGES, LABELS)).name


def test_order_and_keys_are_those_of_a_folder(tmp_path):
    order = np.argsort(LABELS, kind="stable")
    for number, index in enumerate(order):
        folder = tmp_path / str(LABELS[index])
        folder.mkdir(exist_ok=True)
        Image.fromarray(IMAGES[index]).save(folder / f"{number}.png")
    files = open_splits(tmp_path).training
    arrays = open_splits((IMAGES[order], LABELS[order])).training
    for ours, theirs in zip(loaded(arrays, 5), loaded(files, 5), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(arrays.held_out(2), files.held_out(2), strict=True):
        np.testing.assert_array_equal(loaded(ours)[0], loaded(theirs)[0])


def test_the_name_is_a_checksum():
    names = {
        read_pairs(data).name
        for data in (
            (IMAGES, LABELS),
            (IMAGES[::-1], LABELS),
            (IMAGES, LABELS[::-1]),
            (IMAGES, MASKS),
            (IMAGES, MASKS[::-1]),
        )
    }
    assert len(names) == 5 and all(name.startswith("7 images in memory (SHA") for name in names)


def test_masks(tmp_path):
    masks = [*MASKS[:-1, ..., None], np.full((6, 5), 300)]
    names = [f"class {number}" for number in range(400)]
    training, evaluation = open_masked_splits(
        (IMAGES, masks), class_names=names, validation_data=(IMAGES[:2], MASKS[:2])
    )
    images, files, _ = loaded(training)
    np.testing.assert_array_equal(images, IMAGES)
    for content, mask in zip(files, masks, strict=True):
        read = read_mask(EncodedImage(content, "mask"), (6, 5), 400, reduce_zero_label=False)
        np.testing.assert_array_equal(read, mask.reshape(6, 5))
    assert evaluation.num_examples == 2
    pairs = open_labeled((IMAGES, MASKS)).masks_for((), 3, limit=2).pairs
    np.testing.assert_array_equal(pairs[1].load(3, reduce_zero_label=False)[1], MASKS[3])


def test_records_of_them(tmp_path):
    written = prepare(
        DATASET,
        tmp_path / "out",
        validation_data=(IMAGES[:2], LABELS[:2]),
        class_names=["a", "b", "c"],
        num_shards=2,
        verbose=False,
    )
    assert [len(files) for files in written.splits.values()] == [2, 1]
    training, evaluation = open_splits(tmp_path / "out")
    images, labels, keys = loaded(training)
    np.testing.assert_array_equal(images, IMAGES[keys])
    assert (labels, training.class_names) == (LABELS[keys].tolist(), ("a", "b", "c"))
    np.testing.assert_array_equal(loaded(evaluation)[0], IMAGES[:2])


def test_classes_of_a_model():
    """By name where there are names, else by number."""
    examples = open_labeled((IMAGES, LABELS), class_names=["owl", "cat", "dog"])
    classes = [index for _, index in examples.examples_for(["cat", "dog", "owl"], 3).pairs]
    assert classes == [(2, 0, 1)[label] for label in LABELS]
    numbered = open_labeled((IMAGES, LABELS))
    found = numbered.examples_for(["cat", "dog", "owl", "fox"], 4, limit=3)
    assert [index for _, index in found.pairs] == LABELS[[0, 2, 4]].tolist()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((IMAGES, LABELS[:3]), "for each image. Received: 2 parts of lengths 7, 3"),
        ((IMAGES.astype(np.float32), LABELS), "must be uint8 of shape"),
        ((IMAGES, LABELS.astype(float)), "must be whole numbers"),
        ((IMAGES, np.eye(7)), "must be whole numbers"),
        ((IMAGES, [0, MASKS[0], 0, 0, 0, 0, 0]), "a class or a mask for each image"),
        ((IMAGES, LABELS * 10**9), "must be class numbers below 100,000"),
        ((IMAGES[:0], LABELS[:0]), "must hold images. Received: none"),
        (DATASET.repeat(), "take(n) of it"),
        (DATASET.map(lambda image, label: {"image": image, "label": label}), "as_supervised=True"),
        ([IMAGES, LABELS], "must be a path, a name, (images, labels)"),
        ((IMAGES, MASKS.astype(int) - 1), "masks must hold 0 to 65535. Received: -1"),
    ],
)
def test_what_is_rejected(data, words):
    assert words in error_line(open_splits, data)


def test_options_that_do_not_fit(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", {"a/1.png": 1, "b/2.png": 2})
    pairs = IMAGES, LABELS
    assert "goes with images in memory" in error_line(open_splits, folder, validation_data=pairs)
    assert "--data-dir goes with a tfds" in error_line(open_splits, pairs, tmp_path)
    assert "--split goes with" in error_line(open_labeled, pairs, "test")
    assert "goes with masks" in error_line(open_labeled, pairs, reduce_zero_label=True)
    assert "need names" in error_line(open_masked_splits, (IMAGES, MASKS))
    both = {"validation_data": (IMAGES, MASKS)}
    assert "must both have classes" in error_line(open_splits, pairs, **both)
    assert "must be different names" in error_line(open_splits, pairs, class_names=["a", "a"])
    assert "`limit` must be at least 1" in error_line(evaluate, "x.tflite", pairs, limit=0)
    assert "must be at least 1" in error_line(prepare, pairs, tmp_path / "out", num_shards=0)


def test_a_label_without_a_name_is_named():
    split = open_splits((IMAGES, LABELS), class_names=["a", "b"]).training
    assert "image 1 has 2, image 5 has 2, image 6 has 2" in error_line(validate, split)
    validate(open_splits((IMAGES, LABELS), class_names=["a", "b", "c"]).training)
