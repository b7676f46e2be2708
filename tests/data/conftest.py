"""What the tests of the sources share: images that show their number, in every kind of source."""

import io

import numpy as np
import pytest
from PIL import Image

NUM_EXAMPLES, CLASSES, NUM_FILES = 97, ("a", "b", "c"), 8


def png(number):
    """The file of an image whose red is the number."""
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (number, 7, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def number_of():
    """number_of(file): the number that an image shows."""
    return lambda file: Image.open(io.BytesIO(file)).getpixel((0, 0))[0]


@pytest.fixture(scope="session")
def write_folder():
    """write_folder(folder, {"label/name.png": number or bytes}): writes class folders."""

    def write_folder(folder, files):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(content) if isinstance(content, int) else content)
        return folder

    return write_folder


def examples(count=NUM_EXAMPLES):
    """Images 0, 1, ... whose classes are a third each: {"a/000.png": 0, ...}."""
    names = np.repeat(CLASSES, -(-count // len(CLASSES)))
    return {f"{names[number]}/{number:03}.png": number for number in range(count)}


@pytest.fixture(scope="session")
def folder_of_numbers(tmp_path_factory, write_folder):
    """ROOT/train with 97 images of three classes, ROOT/val with ten."""
    root = tmp_path_factory.mktemp("numbers")
    write_folder(root / "train", examples())
    write_folder(root / "val", examples(10))
    return root


@pytest.fixture(scope="session")
def store_tfds(tmp_path_factory):
    """store_tfds({split: [(file, label), ...]}, files): prepares the data set `numbers`."""
    import tensorflow_datasets as tfds

    def store_tfds(splits, num_files=None, names=CLASSES):
        folder = tmp_path_factory.mktemp("tfds")
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=names),
            }
        )
        rows = {
            split: [
                (place, {"image": io.BytesIO(file), "label": label})
                for place, (file, label) in enumerate(pairs)
            ]
            for split, pairs in splits.items()
        }
        tfds.dataset_builders.store_as_tfds_dataset(
            name="numbers",
            version="1.0.0",
            features=features,
            split_datasets=rows,
            data_dir=folder,
            disable_shuffling=True,
            download_config=tfds.download.DownloadConfig(num_shards=num_files),
        )
        return folder

    return store_tfds


@pytest.fixture(scope="session")
def tfds_of_numbers(store_tfds):
    """The same examples as a data set of tensorflow-datasets in eight files."""
    splits = {"train": NUM_EXAMPLES, "validation": 10}
    pairs = {
        split: [(png(n), CLASSES.index(name[0])) for name, n in examples(count).items()]
        for split, count in splits.items()
    }
    return store_tfds(pairs, NUM_FILES)


@pytest.fixture(scope="session")
def records_of_numbers(folder_of_numbers):
    """The same examples as records in eight files."""
    from keras_poolformer.data.splits.opening import open_splits
    from keras_poolformer.data.splits.record_writer import write_records

    address = "ram://numbers/records"
    write_records(open_splits(folder_of_numbers), address, NUM_FILES)
    return address


@pytest.fixture(scope="session")
def open_kind(folder_of_numbers, tfds_of_numbers, records_of_numbers):
    """open_kind("folder" | "tfds" | "records"): (training split, evaluation split)."""
    from keras_poolformer.data.splits.opening import open_splits

    arguments = {
        "folder": (folder_of_numbers,),
        "tfds": ("numbers", tfds_of_numbers),
        "records": (records_of_numbers,),
    }
    return lambda kind: open_splits(*arguments[kind])
