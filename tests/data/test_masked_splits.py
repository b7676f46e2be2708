"""Images with masks as training data: folders, batches, hosts, and broken inputs."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.segmentation import SegmentationAugmentation
from keras_poolformer.data.pipeline import evaluation_batches, training_epoch
from keras_poolformer.data.splits.opening import open_masked_splits, open_splits
from keras_poolformer.images.segmentation import segmentation_transform
from tests.helpers import error_line

SIZE = 16
AUGMENTATION = SegmentationAugmentation(size=SIZE)
NAMES = ["sky", "sea", "boat"]


def shapes(number):
    """A picture of two rectangles, and its mask."""
    random = np.random.default_rng(number)
    height, width = (int(side) for side in random.integers(20, 40, 2))
    pixels = random.integers(0, 60, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for label in (1, 2, 255):
        top, left = int(random.integers(0, height - 8)), int(random.integers(0, width - 8))
        mask[top : top + 8, left : left + 8] = label
        pixels[top : top + 8, left : left + 8] = (number, 80 * (label % 4), 200)
    return pixels, mask


def write_pair(root, name, number):
    pixels, mask = shapes(number)
    for folder, array in (("images", pixels), ("masks", mask)):
        path = root / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ROOT/images/train and ROOT/masks/train with 21 pairs, val with five."""
    root = tmp_path_factory.mktemp("shapes")
    for number in range(21):
        write_pair(root, f"train/{number:02}", number)
    for number in range(5):
        write_pair(root, f"val/{number:02}", 100 + number)
    (root / "labels.txt").write_text("sky\nsea\nboat\n")
    return root


def epoch_of(split, hosts=1, replica_batch=4, global_batch=8, seed=5, **options):
    """(images, masks) of an epoch, as if all hosts' rows were gathered step by step."""
    parts = [
        list(
            training_epoch(
                split,
                AUGMENTATION,
                seed=seed,
                epoch=0,
                global_batch=global_batch,
                replica_batch=replica_batch,
                hosts=(host, hosts),
                **options,
            ).as_numpy_iterator()
        )
        for host in range(hosts)
    ]
    each = global_batch // hosts // replica_batch
    steps = range(0, len(parts[0]), each)
    batches = [batch for step in steps for part in parts for batch in part[step:][:each]]
    return tuple(np.concatenate(column) for column in zip(*batches, strict=True))


def test_folders_are_opened(folder):
    training, evaluation = open_masked_splits(folder)
    assert (training.num_examples, evaluation.num_examples) == (21, 5)
    assert training.class_names == ("sky", "sea", "boat")
    assert training.describe(3) == str(folder / "images/train/03.png")
    assert training.describe_target(3) == str(folder / "masks/train/03.png")
    rest, held = training.held_out(4)
    assert (rest.num_examples, held.num_examples) == (17, 4)
    names = [split.describe_target(n) for split in (rest, held) for n in range(split.num_examples)]
    assert sorted(names) == [training.describe_target(n) for n in range(21)]


@pytest.mark.parametrize("hosts", [1, 2])
def test_batches_are_the_same_on_any_hosts(folder, hosts):
    split, _ = open_masked_splits(folder)
    images, masks = epoch_of(split)
    assert (images.shape, images.dtype) == ((16, SIZE, SIZE, 3), np.float32)
    assert (masks.shape, masks.dtype) == ((16, SIZE, SIZE), np.int32)
    assert set(np.unique(masks)) == {0, 1, 2, 255}
    again = epoch_of(open_masked_splits(folder)[0], hosts, 4 // hosts)
    assert all(np.array_equal(*pair) for pair in zip(again, (images, masks), strict=True))
    rest = epoch_of(split, skip_steps=1)
    assert all(np.array_equal(a, b[8:]) for a, b in zip(rest, (images, masks), strict=True))


def test_evaluation_is_opencvs_and_pads_with_255(folder):
    cv2 = pytest.importorskip("cv2")
    _, split = open_masked_splits(folder)
    transform = segmentation_transform((24, 18))
    batches = evaluation_batches(split, transform, global_batch=4, replica_batch=2)
    shape = (2, 24, 18)
    assert batches.element_spec == (
        tf.TensorSpec((*shape, 3), tf.float32),
        tf.TensorSpec(shape, tf.int32),
    )
    images, masks = map(np.concatenate, zip(*batches.as_numpy_iterator(), strict=True))
    assert len(images) == 8 and (masks[5:] == 255).all() and not images[5:].any()
    for number in range(5):
        pixels, mask = shapes(100 + number)
        expected = cv2.resize(mask, (18, 24), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(masks[number], expected)
        assert np.array_equal(images[number], transform(pixels))


def test_the_other_kind_of_data_or_augmentation_is_named(folder, tmp_path, write_folder):
    assert "images and masks, which train a segmenter" in error_line(open_splits, folder)
    write_folder(tmp_path, {"a/0.png": 0})
    line = error_line(lambda: open_masked_splits(tmp_path, class_names=NAMES))
    assert "must hold the folders images and masks" in line
    for split, augmentation in (
        (open_masked_splits(folder)[0], Augmentation()),
        (open_splits(tmp_path)[0], AUGMENTATION),
    ):
        options = {"seed": 0, "epoch": 0, "global_batch": 1, "replica_batch": 1}
        line = error_line(lambda s=split, a=augmentation, o=options: training_epoch(s, a, **o))
        assert f"Received: {type(augmentation).__name__}" in line
