"""Sources of labeled images: what is found, in which order, how it is divided, what is refused."""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.data.splits.record_writer import write_records
from keras_poolformer.support.errors import InputError

KINDS = ("folder", "tfds", "records")


def loaded(split, *arguments, **options):
    stream = split.stream(*arguments, **options).map(split.load)
    return list(stream.as_numpy_iterator())


def keys(split, *arguments, **options):
    return [int(example["key"]) for example in loaded(split, *arguments, **options)]


# ---------------------------------------------------------------------------------------
# What is found


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_gives_the_same_examples(kind, open_kind, folder_of_numbers, number_of):
    for split, folder, count in zip(open_kind(kind), ("train", "val"), (97, 10), strict=True):
        assert (split.num_examples, split.class_names) == (count, ("a", "b", "c"))
        files = {path.read_bytes(): path for path in (folder_of_numbers / folder).glob("*/*")}
        assert len(files) == count
        found = loaded(split)
        assert {example["image"] for example in found} == files.keys()  # byte by byte
        assert all(
            split.class_names[example["label"]] == files[example["image"]].parent.name
            for example in found
        )
        if kind != "tfds":  # the numbers of class folders go into the records
            assert all(example["key"] == number_of(example["image"]) for example in found)
        assert len({int(example["key"]) for example in found}) == count


def test_a_root_of_labels_has_no_evaluation_split(tmp_path, write_folder):
    """Even where a class is called train, as long as it holds images."""
    write_folder(tmp_path, {"train/1.png": 1, "boat/2.png": 2})
    training, evaluation = open_splits(tmp_path)
    assert (training.class_names, evaluation) == (("boat", "train"), None)
    assert training.name == str(tmp_path)
    assert [training.describe(n) for n in (0, 1)] == [
        f"{tmp_path}/boat/2.png",
        f"{tmp_path}/train/1.png",
    ]


def test_the_evaluation_split_is_val_then_validation_then_test(tmp_path, write_folder):
    write_folder(tmp_path, {"train/a/1.png": 1, "extra/b/1.png": 1, ".git/c/1.png": 1})
    assert open_splits(tmp_path)[1] is None
    for name in ("test", "validation", "val"):
        write_folder(tmp_path / name, {"a/1.png": 1, ".git/x": b""})
        training, evaluation = open_splits(tmp_path)
        assert training.name == f"{tmp_path}/train"
        assert evaluation.name == f"{tmp_path}/{name}"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/1.png", "val/b/1.png"], "same class folders. Received: a only in .*train"),
        (["train/a/1.png", "val/a/1.png", "val/b/1.png"], "Received: b only in .*val"),
        (["train/a/1.png", "test/a/1.txt"], "class folder .*test/a holds no image files"),
        (["train/a/1.png", "val/1.txt"], r"val must hold a folder for each class"),
        (["train/a/1.png", "2.png"], "2.png has no class"),
        (["train/a/1.png", "train/2.png"], "2.png has no class"),
        (["train/a/b/1.png"], "train/a/b must be an image"),
        (["a/1.png", "b/c/1.png"], "b/c must be an image"),
        (["1.png"], "must hold a folder for each class"),
    ],
)
def test_folders_that_are_refused(files, message, tmp_path, write_folder):
    write_folder(tmp_path, dict.fromkeys(files, 1))
    with pytest.raises(InputError, match=message) as raised:
        open_splits(tmp_path)
    assert "\n" not in str(raised.value)


def test_many_classes_of_one_split_alone(tmp_path, write_folder):
    write_folder(tmp_path, {f"train/{number}/1.png": 1 for number in range(9)})
    write_folder(tmp_path, {"val/0/1.png": 1})
    with pytest.raises(InputError, match=r"Received: 1, 2, 3, 4, 5 and 3 more only in .*train"):
        open_splits(tmp_path)


def test_names_and_addresses_of_nothing(tmp_path):
    with pytest.raises(InputError, match="Received: no such folder"):
        open_splits(tmp_path / "nothing")
    with pytest.raises(InputError, match="nosuchdata is neither a folder nor"):
        open_splits("nosuchdata", tmp_path)
    with pytest.raises(InputError, match=r"ram://nothing/dataset.json must describe records"):
        open_splits("ram://nothing/")
    with pytest.raises(InputError, match=r"--data-dir goes with a tfds data set"):
        open_splits(tmp_path, tmp_path)


# ---------------------------------------------------------------------------------------
# tensorflow-datasets


def test_splits_of_tfds(store_tfds, tfds_of_numbers):
    training, evaluation = open_splits("numbers", tfds_of_numbers)
    assert (training.name, evaluation.name) == ("numbers train", "numbers validation")
    assert (training.num_files, training.describe(3)) == (8, "example 3 of numbers train")
    file = tfds_file()
    folder = store_tfds({"train": [(file, 0)], "test": [(file, 0)]})
    assert open_splits("numbers", folder)[1].name == "numbers test"
    assert open_splits("numbers:1.0.0", store_tfds({"train": [(file, 0)]}))[1] is None
    with pytest.raises(InputError, match=r"numbers must have the split train. Received: test"):
        open_splits("numbers", store_tfds({"test": [(file, 0)]}))


def tfds_file():
    return tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy()


@pytest.mark.parametrize("spelling", ["pythonClassName", "python_class_name", "type"])
def test_features_that_are_programs(spelling, store_tfds, tmp_path, monkeypatch):
    """tfds would import the module that a data set's features.json names."""
    folder = store_tfds({"train": [(tfds_file(), 0)]})
    (tmp_path / "chosen_by_the_file.py").write_text(
        "raise SystemExit('it has run')", encoding="utf-8", newline="\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (path,) = folder.rglob("features.json")
    features = json.loads(path.read_text(encoding="utf-8"))
    label = features["featuresDict"]["features"]["label"]
    del label["pythonClassName"]
    label[spelling] = "chosen_by_the_file.ClassLabel"
    if spelling == "type":
        features = {"type": "chosen_by_the_file.FeaturesDict", "content": {}}
    path.write_text(json.dumps(features), encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"Received: 'chosen_by_the_file.\w+'") as raised:
        open_splits("numbers", folder)
    assert str(raised.value).startswith("the features.json of numbers must name features of tens")
    assert "chosen_by_the_file" not in sys.modules


def test_an_empty_split_of_tfds(tfds_of_numbers, monkeypatch):
    import tensorflow_datasets as tfds

    def splits(info):
        empty = tfds.core.SplitInfo(name="train", shard_lengths=[], num_bytes=0)
        return tfds.core.SplitDict([empty])

    monkeypatch.setattr(tfds.core.DatasetInfo, "splits", property(splits))
    with pytest.raises(InputError, match="the split train of numbers holds no examples"):
        open_splits("numbers", tfds_of_numbers)


def test_mocked_data_sets_of_tfds(tmp_path):
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=6):
        training, evaluation = open_splits("imagenet2012", tmp_path)
        assert (training.num_examples, evaluation.num_examples) == (6, 6)
        assert len(training.class_names) == 1000
        stored, drawn = (loaded(training, order) for order in (None, 5))
    assert sorted(keys_of(stored)) == sorted(keys_of(drawn)) != keys_of(drawn)
    assert all(example["image"].startswith(b"\xff\xd8") for example in stored)  # still a JPEG


def keys_of(examples):
    return [int(example["key"]) for example in examples]


# ---------------------------------------------------------------------------------------
# Order and shards


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_is_a_function_of_its_seed(kind, open_kind):
    split, _ = open_kind(kind)
    stored, first, second = keys(split), keys(split, 1), keys(split, 2)
    assert sorted(stored) == sorted(first) == sorted(second)
    assert stored != first != second != stored
    tf.random.set_seed(3)  # a seed of the whole program changes nothing
    assert keys(split, 1) == keys(open_kind(kind)[0], 1) == first
    # Well mixed: the place in the order says nothing of the class.
    labels = [int(example["label"]) for example in loaded(split, 1)]
    assert len(set(labels[:10])) == 3
    assert abs(np.corrcoef(np.arange(97), [stored.index(key) for key in first])[0, 1]) < 0.3


@pytest.mark.first(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [None, 4])
def test_shards_hold_every_example_once(kind, order, open_kind):
    split, evaluation = open_kind(kind)
    for count in (1, 3):
        shards = [keys(split, order, (index, count)) for index in range(count)]
        assert max(map(len, shards)) - min(map(len, shards)) <= (97 % count > 0)
        assert Counter(key for shard in shards for key in shard) == Counter(keys(split))
        if order is None:
            assert [key for shard in shards for key in shard] == keys(split)
    sizes = [len(keys(evaluation, order, (index, 12))) for index in (0, 1, 11)]
    assert sizes == [0, 1, 1]  # more shards than examples


def test_a_shard_reads_its_own_files(open_kind, tmp_path):
    """What a host does not need, it does not open."""
    write_records(open_kind("folder"), tmp_path / "records", 8)
    split, _ = open_splits(tmp_path / "records")
    for path in split.paths[4:]:
        Path(path).unlink()
    assert len(keys(split, None, (0, 2))) == 48
    with pytest.raises(tf.errors.NotFoundError):
        keys(split, None, (1, 2))


def test_a_small_buffer_still_gives_every_example(open_kind):
    for kind in ("tfds", "records"):
        split, _ = open_kind(kind)
        assert sorted(keys(split, 1, shuffle_buffer=5)) == sorted(keys(split))


# ---------------------------------------------------------------------------------------
# Held-out examples


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_held_out_examples(kind, open_kind, number_of):
    split, _ = open_kind(kind)
    rest, held = split.held_out(30)
    assert (rest.num_examples, held.num_examples) == (67, 30)
    assert held.name == f"{split.name} (held out)" and rest.name == split.name
    for order in (None, 7):
        assert len(keys(rest, order)) == 67 and len(keys(held, order)) == 30
        assert not set(keys(rest, order)) & set(keys(held, order))
        assert set(keys(rest, order)) | set(keys(held, order)) == set(keys(split))
    assert keys(split.held_out(30)[1]) == keys(held)
    # Once more, from what is left; and names still lead to the example.
    places = places_of_records(split) if kind == "records" else {}
    again, few = rest.held_out(3)
    assert not set(keys(few)) & set(keys(again)) and len(keys(again)) == 64
    for part in (rest, held, again, few):
        for place, example in list(enumerate(loaded(part)))[::7]:
            number = number_of(example["image"])
            expected = {
                "folder": f"{number:03}.png",
                "tfds": f"example {number} of numbers train",
                "records": places.get(example["image"]),
            }
            assert part.describe(place).endswith(expected[kind])


def places_of_records(split):
    """{image: where it is}, as read from the files."""
    return {
        split.load(record)["image"].numpy(): f"record {place} of {path}"
        for path in split.paths
        for place, record in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator())
    }


def test_held_out_examples_of_folders_have_all_classes(open_kind):
    split, _ = open_kind("folder")
    labels = Counter(int(example["label"]) for example in loaded(split.held_out(12)[1]))
    assert labels == {0: 4, 1: 4, 2: 4}


@pytest.mark.parametrize("count", [0, 97, 1000, -1])
def test_too_many_to_hold_out(count, open_kind):
    split, _ = open_kind("folder")
    with pytest.raises(InputError, match=f"of which 1 to 96 can be held out. Received: {count:,}"):
        split.held_out(count)


def test_classes_of_records_are_the_folders(open_kind):
    assert open_kind("records")[0].num_files == 8
    assert open_kind("folder")[0].num_files == 1
    assert open_kind("records")[0].held_out(20)[1].num_files == 2


def test_images_of_other_formats(tmp_path, write_folder):
    """What a camera or a browser writes."""
    from PIL import Image

    contents = {}
    for number, suffix in enumerate(("jpeg", "gif", "bmp", "webp")):
        file = io.BytesIO()
        Image.new("RGB", (3, 3), (200, 10, 10)).save(file, suffix)
        contents[f"a/{number}.{suffix}"] = file.getvalue()
    write_folder(tmp_path, contents)
    assert [one["image"] for one in loaded(open_splits(tmp_path)[0])] == list(contents.values())
