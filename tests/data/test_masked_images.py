"""Images with masks to evaluate on: the same from folders, records and tfds."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_poolformer.data.labeled import LabeledImages
from keras_poolformer.data.masked import MaskedImages, match_names
from keras_poolformer.data.splits.opening import open_labeled, open_masked_splits
from keras_poolformer.data.splits.record_writer import write_records
from tests.helpers import error_line

NAMES = ("sky", "sea", "boat")
COUNT = 5  # images to evaluate on


def pair(number):
    """A picture and its mask, with a class in each third and some pixels of none."""
    random = np.random.default_rng(number)
    height, width = (int(side) for side in random.integers(9, 20, 2))
    mask = np.repeat(np.arange(3, dtype=np.uint8), width).reshape(3, width).repeat(height, 0)
    mask[random.random(mask.shape) < 0.1] = 255
    return random.integers(0, 256, (*mask.shape, 3), np.uint8), mask


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return io.BytesIO(file.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("masked")
    for split, numbers in (("train", range(10, 13)), ("val", range(COUNT))):
        for number in numbers:
            for kind, array in zip(("images", "masks"), pair(number), strict=True):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
                (root / kind / split / f"{number}.png").write_bytes(png(array).getvalue())
    (root / "labels.txt").write_text("sky\nsea\nboat\n", encoding="utf-8", newline="\n")
    return root


@pytest.fixture(scope="module")
def records(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "shapes"
    write_records(open_masked_splits(folder), path, 2)
    return path


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A tfds data set whose images have a class and a mask each, as oxford_iiit_pet's."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    features = {
        "image": tfds.features.Image(encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
    }

    def rows():
        for number in range(COUNT):
            files = dict(zip(("image", "segmentation_mask"), map(png, pair(number)), strict=True))
            yield number, {**files, "label": number % 2}

    tfds.dataset_builders.store_as_tfds_dataset(
        name="pets",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(rows()), "test": list(rows())},
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder


def check(images, names, **options):
    examples = images.masks_for((), 3, **options)
    assert examples.class_names == names
    read = [examples.load(files) for files in examples.pairs]
    numbers = range(COUNT) if not options else [0, 2]
    assert len(read) == examples.total == len(numbers)
    for (image, mask), number in zip(read, numbers, strict=True):
        for received, expected in zip((np.asarray(image), mask), pair(number), strict=True):
            assert np.array_equal(received, expected)


def test_folders_and_records(folder, records):
    for place in (folder, records):
        images = open_labeled(place)
        assert isinstance(images, MaskedImages) and not isinstance(images, LabeledImages)
        check(images, NAMES)
        check(images, NAMES, limit=2)


def test_the_model_chooses_between_classes_and_masks(data_set):
    images = open_labeled("pets", data_dir=data_set)
    assert isinstance(images, MaskedImages) and isinstance(images, LabeledImages)
    check(images, ())
    examples = images.examples_for(("cat", "dog"), 2)
    assert [index for _, index in examples.pairs] == [0, 1, 0, 1, 0]


def test_what_is_wrong_is_named(records, folder):
    images = open_labeled(records)
    line = error_line(images.masks_for, ("sky", "boat", "sea"), 3)
    assert (
        f"{records} validation must name" in line and "class 1 is 'boat'. Received: 'sea'" in line
    )
    assert "the model's 4 classes" in error_line(images.masks_for, (), 4)
    assert "no split 'test'" in error_line(open_labeled, records, "test")
    line = error_line(lambda: open_labeled(records, reduce_zero_label=True))
    assert "reduce_zero_label must be true" in line
    examples = open_labeled(folder, reduce_zero_label=True).masks_for((), 3)
    assert examples.load(next(iter(examples.pairs)))[1].max() == 255


def test_names_of_the_model_or_else_of_the_data():
    assert match_names((), NAMES, 3, "x") == match_names(NAMES, (), None, "x") == NAMES
    assert match_names((), (), 3, "x") == ()


def test_a_corrupt_mask_in_records_is_named(folder, tmp_path):
    splits = open_masked_splits(folder)
    write_records(splits, tmp_path / "out", 1)
    path = next((tmp_path / "out").glob("validation*"))
    _, mask = pair(0)
    content = path.read_bytes()
    examples = open_labeled(tmp_path / "out").masks_for((), 3)
    assert png(mask).getvalue() in content and examples.total == COUNT
    path.write_bytes(content[:200] + bytes(4) + content[204:])
    line = error_line(list, examples.pairs)
    assert path.name in line
