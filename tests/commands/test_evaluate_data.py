"""`evaluate --data` takes what `train --data` takes, and counts the same images."""

import json
import shutil

import pytest

from keras_poolformer.cli import main


@pytest.fixture
def root(data, tmp_path):
    """ROOT/train with all the images, ROOT/test with the first one of each class."""
    root = tmp_path / "ro[o]t"
    shutil.copytree(data, root / "train")
    for folder in sorted(data.iterdir()):
        (root / "test" / folder.name).mkdir(parents=True)
        shutil.copy(min(folder.iterdir()), root / "test" / folder.name)
    return root


@pytest.fixture
def measured(exports, run):
    """measured(data, *options): the figures of one model."""

    def measured(data, *options):
        status, printed, lines = run(
            "evaluate", exports / "fp32.tflite", "--data", data, *options, "--json"
        )
        assert (status, lines) == (0, [])
        return json.loads(printed)

    return measured


def test_a_folder_of_splits(root, measured):
    assert measured(root) == measured(root / "test")
    assert measured(root, "--split", "train") == measured(root / "train")
    assert measured(root)["images"] < measured(root / "train")["images"]
    shutil.copytree(root / "train", root / "val")  # which `train` would take as well
    assert measured(root) == measured(root / "val")


@pytest.mark.slow
def test_a_saved_model_in_a_folder_of_any_name(exports, data, run, tmp_path):
    """TensorFlow takes its path for a pattern, and then finds no weights."""
    model = shutil.copytree(exports / "saved_model", tmp_path / "lr=[1e-3]")
    of_copy, of_model = (
        run("evaluate", source, "--data", data, "--json")
        for source in (model, exports / "saved_model")
    )
    assert of_copy == of_model and of_copy[0] == 0


@pytest.mark.first(1)
@pytest.mark.parametrize("place", ["local", "address"])
def test_records(place, root, measured, tmp_path):
    path = str(tmp_path / "records") if place == "local" else f"ram://{tmp_path.name}/evaluate"
    assert main(["prepare", str(root), "-o", path]) == 0
    assert measured(path) == measured(root / "test")
    assert measured(path, "--split", "train") == measured(root / "train")
    assert measured(path, "--split", "train", "--limit", 5)["images"] == 5


def test_classes_of_records_that_are_numbers(numbered, files, run, tmp_path):
    """As folders named by number: the name counts, not the place among the names."""
    (numbered / "0").rename(numbered / "8")
    shutil.rmtree(numbered / "1")
    (numbered / "8").rename(numbered / "1")  # the first class of the data is the model's second
    assert main(["prepare", str(numbered), "-o", str(tmp_path / "records")]) == 0
    arguments = ("evaluate", files / "tiny.tflite", "--json", "--data")
    of_folders = run(*arguments, numbered)
    assert of_folders[0] == 0
    assert run(*arguments, tmp_path / "records", "--split", "train") == of_folders


def test_splits_that_are_not_there(root, data, exports, refusal, tmp_path):
    arguments = ("evaluate", exports / "fp32.tflite", "--data")
    message = refusal(*arguments, root, "--split", "tets")
    assert message == (
        f"--split must be one of test, train in {root}. Did you mean 'test'? Received: 'tets'"
    )
    shutil.rmtree(root / "test")
    assert "must hold one of val, validation, test next to train" in refusal(*arguments, root)
    assert "--split must be omitted" in refusal(*arguments, data, "--split", "test")
    assert main(["prepare", str(root), "-o", str(tmp_path / "records")]) == 0
    message = refusal(*arguments, tmp_path / "records")
    assert message.endswith("has no split 'validation': --split names one of train")
    assert "must describe records" in refusal(*arguments, "ram://nothing/there")


def test_a_broken_image_in_records_is_named_or_skipped(data, measured, tmp_path, exports, run):
    import tensorflow as tf

    from keras_poolformer.data.splits import record_writer

    assert main(["prepare", str(data), "-o", str(tmp_path / "records")]) == 0
    (file,) = (tmp_path / "records").glob("*.tfrecord")
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in [
            record_writer._record({"image": b"no picture", "label": 0, "key": 0}),
            *records[1:],
        ]:
            writer.write(record)
    path = tmp_path / "records" / "dataset.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description["splits"]["train"][0]["bytes"] = file.stat().st_size
    path.write_text(json.dumps(description), encoding="utf-8", newline="\n")
    arguments = ("evaluate", exports / "fp32.tflite", "--data", path.parent, "--split", "train")
    status, _, (line,) = run(*arguments)
    assert status == 2 and f"record 0 of {file}" in line
    status, printed, (line,) = run(*arguments, "--skip-broken", "--json")
    assert (status, json.loads(printed)["skipped"]) == (0, 1)
    assert line == f"skipped 1 broken images: record 0 of {file}"
