"""Images with masks as training data: folders, batches, hosts, and broken inputs."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.segmentation import SegmentationAugmentation
from keras_poolformer.data.pipeline import TrainingPipeline, evaluation_batches
from keras_poolformer.data.splits.opening import open_masked_splits, open_splits
from keras_poolformer.data.splits.record_writer import write_records
from keras_poolformer.data.splits.validation import name_broken, validate
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.support.errors import InputError
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
    (root / "labels.txt").write_text("sky\nsea\nboat\n", encoding="utf-8", newline="\n")
    return root


def epoch_of(split, hosts=1, replica_batch=4, global_batch=8, seed=5, **options):
    """(images, masks) of an epoch, as if all hosts' rows were gathered step by step."""
    epochs = TrainingPipeline(split, AUGMENTATION, seed)
    parts = [
        list(
            epochs.epoch(
                0,
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


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [2, 1])
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
    assert error_line(open_splits, folder).endswith("Received: images with a mask each")
    write_folder(tmp_path, {"a/0.png": 0})
    line = error_line(lambda: open_masked_splits(tmp_path, class_names=NAMES))
    assert "must hold the folders images and masks" in line
    for split, augmentation in (
        (open_masked_splits(folder)[0], Augmentation()),
        (open_splits(tmp_path)[0], AUGMENTATION),
    ):
        line = error_line(TrainingPipeline, split, augmentation, 0)
        assert f"Received: {type(augmentation).__name__}" in line


# ---------------------------------------------------------------------------------------
# Folders, and what is wrong in them


@pytest.fixture
def small(tmp_path):
    """ROOT/images and ROOT/masks with six pairs, and the names of three classes."""
    for number in range(6):
        write_pair(tmp_path, f"{number}", number)
    (tmp_path / "labels.txt").write_text("sky\nsea\nboat\n", encoding="utf-8", newline="\n")
    return tmp_path


def message_of(split):
    """What `validate` says, in a line that can be longer than other errors."""
    with pytest.raises(InputError) as raised:
        validate(split)
    assert str(raised.value).isprintable()
    return str(raised.value)


def save_mask(root, name, array):
    Image.fromarray(np.asarray(array, np.uint8)).save(root / "masks" / f"{name}.png")


def test_broken_masks_and_images_are_named(small):
    split, evaluation = open_masked_splits(small)
    calls = []
    validate(split, lambda *call: calls.append(call))
    assert evaluation is None and calls[-1] == (6, 6)
    height, width = shapes(1)[1].shape
    save_mask(small, 1, np.zeros((9, 7)))
    save_mask(small, 2, np.full(shapes(2)[1].shape, 3))
    (small / "masks/4.png").write_bytes(b"no picture")
    (small / "images/5.png").write_bytes((small / "images/5.png").read_bytes()[:90])
    line = message_of(split)
    assert line.startswith(f"1 image of {small} cannot be read: {small}/images/5.png (")
    rule = "must have the size of their image, and labels 0 to 2 or 255 (where "
    rule += "classes count from 1, set reduce_zero_label)"
    assert (
        f"; 3 masks of {small} {rule}: {small}/masks/1.png is 7 x 9 instead of {width} x {height}, "
        in line
    )
    assert f"{small}/masks/2.png has 3, {small}/masks/4.png cannot be read (" in line
    assert str(name_broken(split)) == line
    (small / "masks/1.png").write_bytes((small / "masks/0.png").read_bytes())
    write_pair(small, "1", 1)
    (small / "images/5.png").write_bytes((small / "images/1.png").read_bytes())
    (small / "masks/5.png").write_bytes((small / "masks/1.png").read_bytes())
    assert message_of(split).startswith(f"2 masks of {small} must have")


def test_a_mask_that_is_wrong_stops_the_pipeline(small):
    split, _ = open_masked_splits(small)
    save_mask(small, 2, np.full(shapes(2)[1].shape, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be 0 to 2"):
        epoch_of(split, replica_batch=2, global_batch=6)


def test_many_masks_are_counted(tmp_path):
    for number in range(30):
        write_pair(tmp_path, f"{number:02}", number)
    split, _ = open_masked_splits(tmp_path, class_names=["sky"])
    line = message_of(split)
    assert line.startswith(f"30 masks of {tmp_path} must have the size of their image, ")
    assert f": {tmp_path}/masks/00.png has 1, " in line and line.endswith(" more")
    assert 10 < line.count(".png") <= 20


def test_missing_masks_are_named_before_anything_is_read(small):
    (small / "masks/3.png").unlink()
    assert f"{small}/masks/3.png. Received: no such file" in error_line(open_masked_splits, small)


def test_names_of_classes(small):
    split, _ = open_masked_splits(small, class_names=["others"])
    assert split.class_names == ("sky", "sea", "boat")  # those of the data come first
    (small / "labels.txt").write_text("sky\nsky\n", encoding="utf-8", newline="\n")
    assert f"{small}/labels.txt: must be different" in error_line(open_masked_splits, small)
    (small / "labels.txt").unlink()
    assert f"write them to {small}/labels.txt" in error_line(open_masked_splits, small)
    assert open_masked_splits(small, class_names=NAMES)[0].class_names == tuple(NAMES)


def test_ade20k_as_it_is_downloaded(small):
    """images/training, annotations/validation, labels from 1."""
    (small / "labels.txt").unlink()
    for split, numbers in (("training", (0, 1, 2, 3)), ("validation", (4, 5))):
        for number in numbers:
            for folder in ("images", "masks"):
                path = small / folder / split / f"{number}.png"
                path.parent.mkdir(exist_ok=True)
                (small / folder / f"{number}.png").rename(path)
    (small / "masks").rename(small / "annotations")
    training, evaluation = open_masked_splits(small, class_names=["a", "b"], reduce_zero_label=True)
    assert (training.num_examples, evaluation.num_examples) == (4, 2)
    transform = segmentation_transform(shapes(4)[1].shape)
    ((_, masks),) = evaluation_batches(evaluation, transform, global_batch=2, replica_batch=2)
    expected = shapes(4)[1].astype(np.int32) - 1
    expected[(expected == -1) | (expected == 254)] = 255  # mmsegmentation's reduce_zero_label
    assert np.array_equal(masks[0], expected)
    Image.new("RGB", (8, 8)).save(small / "images" / "loose.png")
    line = error_line(lambda: open_masked_splits(small, class_names=NAMES))
    assert "loose.png is in no split" in line


# ---------------------------------------------------------------------------------------
# Records and tensorflow-datasets


@pytest.fixture(scope="module")
def records(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "shapes"
    write_records(open_masked_splits(folder), path, 4)
    return path


def content(split):
    """{key: (image file, mask file)}."""
    stream = split.stream().map(split.load).as_numpy_iterator()
    return {int(one["key"]): (one["image"], one["mask"]) for one in stream}


def test_records_hold_the_files_as_they_are(folder, records):
    opened = open_masked_splits(records)
    for split, source in zip(opened, open_masked_splits(folder), strict=True):
        assert (split.class_names, split.target) == (source.class_names, source.target)
        assert content(split) == content(source)
    assert opened[0].num_files == 4
    validate(opened[0])
    text = (records / "dataset.json").read_text(encoding="utf-8")
    assert '"version": 2' in text and '"reduce_zero_label": false' in text


@pytest.mark.slow
def test_hosts_share_records(records):
    split, _ = open_masked_splits(records)
    images, masks = epoch_of(split)
    again = epoch_of(split, hosts=2, replica_batch=2)
    assert all(np.array_equal(*pair) for pair in zip(again, (images, masks), strict=True))
    # As from folders, whatever the order: the seed follows the example.
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16


def test_records_of_the_other_kind_are_rejected(records, records_of_numbers, tmp_path):
    line = error_line(open_splits, records)
    assert "class folders" in line and line.endswith("images with a mask each")
    assert "images and masks" in error_line(open_masked_splits, records_of_numbers)
    line = error_line(lambda: open_masked_splits(records, reduce_zero_label=True))
    assert "reduce_zero_label must be true" in line
    for wrong in ('"version": 1', '"version": 3'):
        text = (records / "dataset.json").read_text(encoding="utf-8").replace('"version": 2', wrong)
        (tmp_path / "dataset.json").write_text(text, encoding="utf-8", newline="\n")
        assert "dataset.json: " in error_line(open_masked_splits, tmp_path)


def test_a_broken_mask_is_not_written(small):
    splits = open_masked_splits(small)
    save_mask(small, 4, np.full(shapes(4)[1].shape, 77))
    line = error_line(write_records, splits, small / "out")
    assert line.endswith(f"{small}/masks/4.png has 77")
    assert not (small / "out").exists()


@pytest.fixture(scope="module")
def store_masks(tmp_path_factory):
    """store_masks(feature, its name): prepares the data set `shapes` with six examples."""
    import tensorflow_datasets as tfds

    def png(array):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return io.BytesIO(file.getvalue())

    def store_masks(feature, name="segmentation_mask", image="image"):
        folder = tmp_path_factory.mktemp("tfds")
        features = {image: tfds.features.Image(encoding_format="png"), name: feature}
        rows = [
            (number, {image: png(shapes(number)[0]), name: png(shapes(number)[1])})
            for number in range(6)
        ]
        tfds.dataset_builders.store_as_tfds_dataset(
            name="shapes",
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": rows, "test": rows[:2]},
            data_dir=folder,
            disable_shuffling=True,
        )
        return folder

    return store_masks


def test_masks_of_tfds(store_masks):
    import tensorflow_datasets as tfds

    folder = store_masks(tfds.features.Image(shape=(None, None, 1), encoding_format="png"))
    training, evaluation = open_masked_splits("shapes", folder, class_names=NAMES)
    assert (training.num_examples, evaluation.num_examples) == (6, 2)
    validate(training)
    masks = [np.asarray(Image.open(io.BytesIO(mask))) for _, mask in content(training).values()]
    assert all(np.array_equal(mask, shapes(number)[1]) for number, mask in enumerate(masks))
    line = error_line(lambda: open_masked_splits("shapes", folder))
    assert "the masks in shapes need names" in line
    line = error_line(open_splits, "shapes", folder)
    assert "label, a ClassLabel. Received: " in line and "segmentation_mask (Image" in line


@pytest.mark.slow
def test_features_of_other_data_sets(store_masks, tfds_of_numbers):
    """scene_parse150 declares three channels, cityscapes has image_left; a LabeledImage names."""
    import tensorflow_datasets as tfds

    image = tfds.features.Image
    labeled = tfds.features.LabeledImage
    for feature, name, left, names in (
        (image(encoding_format="png"), "annotation", "image", NAMES),
        (
            image(shape=(None, None, 1), encoding_format="png"),
            "segmentation_label",
            "image_left",
            NAMES,
        ),
        (labeled(labels=["x", "y", "z"], encoding_format="png"), "mask", "image", ["x", "y", "z"]),
        (labeled(labels=3, encoding_format="png"), "mask", "image", NAMES),
    ):
        folder = store_masks(feature, name, left)
        split, _ = open_masked_splits("shapes", folder, class_names=NAMES)
        validate(split)
        assert split.class_names == tuple(names)
    line = error_line(lambda: open_masked_splits("numbers", tfds_of_numbers, class_names=NAMES))
    assert "one of segmentation_mask, annotation" in line and "label (ClassLabel)" in line
