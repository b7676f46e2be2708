"""What `--data` is: folders, records, or a data set of tensorflow-datasets."""

import re

import pytest

from keras_poolformer.data.splits.opening import DataKind, data_kind, open_labeled
from keras_poolformer.support.errors import InputError


def test_what_data_are(tmp_path, write_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "cifar10", {"a/1.png": 1})
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "dataset.json").write_text("{}", encoding="utf-8", newline="\n")
    assert data_kind(tmp_path / "cifar10") is DataKind.FOLDERS
    assert data_kind("cifar10") is DataKind.FOLDERS  # which takes precedence over tfds
    assert data_kind("mnist") is DataKind.TFDS
    assert data_kind("mnist", tmp_path) is DataKind.TFDS
    assert data_kind("records/") is DataKind.RECORDS
    assert data_kind("gs://bucket/photos") is DataKind.RECORDS
    for path in ("cifar10", "gs://bucket/photos"):
        with pytest.raises(InputError, match=rf"tfds data set. Received: {re.escape(path)}"):
            data_kind(path, tmp_path)


def test_class_folders_for_a_model(tmp_path, write_folder):
    files = {"cat/2.png": 2, "cat/1.png": 1, "owl/3.png": 3, "owl/4.png": 4}
    labeled = open_labeled(write_folder(tmp_path, files))
    examples = labeled.examples_for(("owl", "dog", "cat"), 3)
    found = [(path.relative_to(tmp_path).as_posix(), index) for path, index in examples.pairs]
    assert found == [("cat/1.png", 2), ("cat/2.png", 2), ("owl/3.png", 0), ("owl/4.png", 0)]
    assert (examples.total, examples.note) == (4, "")
    assert labeled.examples_for(("owl", "dog", "cat"), 3, limit=2).total == 2
    with pytest.raises(InputError, match="'owl'"):
        labeled.examples_for(("cat", "dog"), 2)


def test_records_and_tfds_give_the_images_of_the_folders(
    tmp_path, folder_of_numbers, records_of_numbers, number_of
):
    """By name where the model has the names, in another order; by number where it has others."""
    names, others = ("c", "b", "a"), ("x", "y", "z")
    expected = [
        (path.read_bytes(), index)
        for path, index in open_labeled(folder_of_numbers).examples_for(names, 3).pairs
    ]
    examples = open_labeled(records_of_numbers).examples_for(names, 3)
    assert [(image.content, index) for image, index in examples.pairs] == expected
    assert (examples.total, examples.note) == (10, "")
    examples = open_labeled(records_of_numbers).examples_for(others, 3, limit=5)
    assert [index for _, index in examples.pairs] == [0, 0, 1, 1, 2]
    assert "by number, not by name: 'a' for 'x'" in examples.note
