"""Records: what `write_records` writes is what it was given, and what is damaged is refused."""

import json
import os
import resource
import shutil

import pytest
import tensorflow as tf

from keras_poolformer.data.splits import record_writer
from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.data.splits.record_writer import write_records
from keras_poolformer.data.splits.validation import name_broken
from keras_poolformer.support.errors import InputError


@pytest.fixture(scope="module")
def written_with_progress(folder_of_numbers, tmp_path_factory):
    """(records in a folder, in four files and one; the calls of `progress`)."""
    path, calls = tmp_path_factory.mktemp("written") / "records", []
    write_records(open_splits(folder_of_numbers), path, 4, lambda *call: calls.append(call))
    return path, calls


@pytest.fixture(scope="module")
def written(written_with_progress):
    """Records in a folder, in four files and one."""
    return written_with_progress[0]


@pytest.fixture
def copy(written, tmp_path):
    """A copy to damage."""
    return shutil.copytree(written, tmp_path / "copy")


@pytest.fixture
def describe(copy):
    """describe(fields): changes the description of the copy."""

    def describe(**fields):
        path = copy / "dataset.json"
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields),
            encoding="utf-8",
            newline="\n",
        )

    return describe


def images(split):
    return [example["image"] for example in split.stream().map(split.load).as_numpy_iterator()]


# ---------------------------------------------------------------------------------------
# What is written


def test_the_description_says_what_there_is(written):
    fields = json.loads((written / "dataset.json").read_text(encoding="utf-8"))
    assert (fields["version"], fields["class_names"]) == (1, ["a", "b", "c"])
    files = [file for part in fields["splits"].values() for file in part]
    assert [file["name"] for file in files] == [
        *(f"train-{number:05}-of-00004.tfrecord" for number in range(4)),
        "validation-00000-of-00001.tfrecord",
    ]
    assert [file["examples"] for file in files] == [24, 24, 24, 25, 10]
    for file in files:
        assert (written / file["name"]).stat().st_size == file["bytes"]
    assert len(list(written.iterdir())) == 6


def test_training_examples_are_mixed_and_others_are_not(written, number_of):
    training, evaluation = open_splits(written)
    numbers = [number_of(image) for image in images(training)]
    assert len({number // 33 for number in numbers[:24]}) == 3
    assert [number_of(image) for image in images(evaluation)] == list(range(10))


def test_writing_twice_gives_the_same_files(written, folder_of_numbers, tmp_path):
    write_records(open_splits(folder_of_numbers), tmp_path / "again", 4)
    for path in written.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_records_of_records(written, tmp_path):
    """Another number of files, and still the same examples with the same numbers."""
    write_records(open_splits(written), tmp_path / "more", 7)
    once, twice = (open_splits(path)[0] for path in (written, tmp_path / "more"))
    assert twice.num_files == 7

    def contents(split):
        stream = split.stream().map(split.load).as_numpy_iterator()
        return {one["image"]: (int(one["label"]), int(one["key"])) for one in stream}

    assert contents(twice) == contents(once)


@pytest.mark.parametrize(
    ("examples", "wanted", "files"),
    [
        ((97, 10), 200, (97, 10)),  # no file is empty
        ((97, 10), 1, (1, 1)),
        ((97, None), 8, (8, 0)),
        ((10, 97), 4, (4, 4)),
        ((97, 10), None, (1, 1)),
        ((50_000, 10_000), None, (32, 6)),
        ((1_281_167, 50_000), None, (1024, 40)),
        ((14_000_000, 1), None, (1024, 1)),
    ],
)
def test_number_of_files(examples, wanted, files, open_kind):
    from dataclasses import replace

    split, _ = open_kind("folder")
    splits = [count and replace(split, num_examples=count) for count in examples]
    assert record_writer._num_files(splits, wanted) == files


def test_progress_counts_every_example(written_with_progress):
    calls = written_with_progress[1]
    assert calls == [(done, 107) for done in range(1, 108)]


# ---------------------------------------------------------------------------------------
# Nothing half-written, nothing overwritten


@pytest.fixture(params=["local", "address"])
def place(request, tmp_path):
    """A path and an address to write to."""
    if request.param == "local":
        yield str(tmp_path / "out")
    else:
        yield f"ram://{tmp_path.name}"


def listed(path):
    return sorted(tf.io.gfile.listdir(path)) if tf.io.gfile.exists(path) else []


@pytest.fixture
def half_broken(tmp_path, write_folder):
    """Forty images, of which the last two are broken."""
    files = {f"a/{number:02}.png": number for number in range(38)}
    broken = {"a/38.png": b"\x89PNG nothing", "a/39.png": b""}
    return write_folder(tmp_path / "half", files | broken)


@pytest.mark.first(1)
def test_broken_images_leave_nothing(place, half_broken, tmp_path):
    with pytest.raises(InputError, match=r"2 images of .* cannot be read: .*38.png, .*39.png"):
        write_records(open_splits(half_broken), place, 8)
    assert listed(place) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half"]


@pytest.mark.first(1)
def test_labels_that_are_wrong_leave_nothing(place, store_tfds):
    files = [(tf.io.encode_png(tf.zeros((2, 2, 3), tf.uint8)).numpy(), n) for n in (0, 2, -1)]
    splits = open_splits("numbers", store_tfds({"train": files}))
    message = "1 label of numbers train must be 0 to 2: example 2 of numbers train has -1"
    with pytest.raises(InputError, match=message):
        write_records(splits, place)
    assert listed(place) == []


@pytest.mark.slow
def test_existing_records_are_kept_unless_asked_for(place, folder_of_numbers, half_broken):
    write_records(open_splits(folder_of_numbers), place, 3)
    before = listed(place)
    with pytest.raises(InputError, match="exists already: choose another path"):
        write_records(open_splits(folder_of_numbers), place, 1)
    assert listed(place) == before
    write_records(open_splits(folder_of_numbers), place, 2, overwrite=True)
    assert len(listed(place)) == 4 and open_splits(place)[0].num_files == 2
    with pytest.raises(InputError, match="cannot be read"):
        write_records(open_splits(half_broken), place, 2, overwrite=True)
    assert len(listed(place)) == (0 if "://" in place else 4)


def test_other_things_are_never_replaced(place, folder_of_numbers):
    tf.io.gfile.makedirs(place)
    with tf.io.gfile.GFile(f"{place}/thesis.tex", "w") as file:
        file.write("years of work")
    with pytest.raises(InputError, match=r"Received: 'thesis.tex' in it"):
        write_records(open_splits(folder_of_numbers), place, overwrite=True)
    assert listed(place) == ["thesis.tex"]


def test_a_file_is_never_replaced(tmp_path, folder_of_numbers):
    (tmp_path / "x").write_text("years of work", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="Received: a file"):
        write_records(open_splits(folder_of_numbers), tmp_path / "x", overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        write_records(open_splits(folder_of_numbers), tmp_path / "x")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "years of work"


def test_a_full_disk(tmp_path, folder_of_numbers):
    """The kernel refuses what goes beyond a few kilobytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    splits = open_splits(folder_of_numbers)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        with pytest.raises(InputError, match=r"out cannot be written: .*File too large"):
            write_records(splits, tmp_path / "out", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path, folder_of_numbers):
    with pytest.raises(InputError, match="is not an existing folder"):
        write_records(open_splits(folder_of_numbers), tmp_path / "no" / "out")
    with pytest.raises(InputError, match=r"zz://out cannot be written: .*not implemented"):
        write_records(open_splits(folder_of_numbers), "zz://out")


# ---------------------------------------------------------------------------------------
# Damage


def test_files_that_are_missing_or_cut_are_seen_at_once(copy):
    file = copy / "train-00002-of-00004.tfrecord"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    message = f"{file} must have {size:,} bytes, as dataset.json says. Received: {size - 1:,} bytes"
    with pytest.raises(InputError, match=message):
        open_splits(copy)
    file.unlink()
    with pytest.raises(InputError, match=r"00002-of-00004.tfrecord .* Received: no such file"):
        open_splits(copy)


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.slow
def test_flipped_bits_are_laid_on_the_right_file(copy):
    file = copy / "train-00002-of-00004.tfrecord"
    flip(file)
    error = name_broken(open_splits(copy)[0])
    assert str(error).startswith(f"{file} cannot be read: corrupted record at ")
    with pytest.raises(InputError, match=r"00002-of-00004.tfrecord cannot be read: corrupted"):
        write_records(open_splits(copy), "ram://flipped")
    assert listed("ram://flipped") == []


@pytest.mark.parametrize("change", [1, -1])
def test_counts_that_do_not_match(change, copy, describe):
    splits = json.loads((copy / "dataset.json").read_text(encoding="utf-8"))["splits"]
    splits["train"][1]["examples"] += change
    describe(splits=splits)
    error = str(name_broken(open_splits(copy)[0]))
    assert "train-00001-of-00004.tfrecord cannot be read: " in error
    assert f"expected to contain {24 + change} elements" in error and "\n" not in error


def test_records_of_another_kind(copy, describe):
    """TFRecords with fields of another name: each is named, not only the first."""
    file = copy / "train-00000-of-00004.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for _ in range(24):
            writer.write(tf.train.Example().SerializeToString())
    splits = json.loads((copy / "dataset.json").read_text(encoding="utf-8"))["splits"]
    splits["train"][0]["bytes"] = file.stat().st_size
    describe(splits=splits)
    error = str(name_broken(open_splits(copy)[0]))
    assert error.startswith("24 images of ") and f"record 0 of {file}, record 1 of" in error
    named = error.count(".tfrecord")
    assert named <= 20 and f" and {24 - named} more (" in error
    assert "Feature: image (data type: string) is required" in error


FILE = {"name": "train-00000-of-00004.tfrecord", "examples": 1, "bytes": 99}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "tfds"}, "must describe keras-poolformer records"),
        ({"version": 2}, "version must be 1. Received: 2"),
        ({"version": None}, "version must be 1"),
        ({"class_names": []}, "class_names must be different names. Received: none"),
        ({"class_names": ["a", "a"]}, "class_names must be different names. Received: 'a' 2 times"),
        ({"class_names": ["a", 1]}, "class_names must be a list of class names"),
        ({"class_names": ["a", ["b"]]}, "class_names must be a list of class names"),
        ({"class_names": "abc"}, "class_names must be a list of class names"),
        ({"class_names": None}, "class_names must be a list of class names"),
        ({"class_names": ["a", "b\x1b[2J"]}, "class_names must be .* without control characters"),
        ({"class_names": ["a", " "]}, "class_names must be one line .* Received: ' ' for class 1"),
        ({"splits": {}}, "splits must be train and perhaps validation"),
        ({"splits": []}, "splits must be train and perhaps validation"),
        ({"splits": {"train": [FILE], "../x": [FILE]}}, "splits must be train"),
        ({"splits": {"train": []}}, "train must be a list of files"),
        ({"splits": {"train": "abc"}}, "train must be a list of files"),
        ({"splits": {"train": [FILE, FILE]}}, "splits must be files listed once"),
        ({"splits": {"train": [1]}}, "file must be a name without folders"),
        ({"splits": {"train": [FILE | {"more": 1}]}}, "file must be a name without folders"),
        *(
            ({"splits": {"train": [FILE | {"name": name}]}}, "file must be a name without folders")
            for name in ("../x.tfrecord", "/etc/x.tfrecord", "a\\x.tfrecord", ".tfrecord",
                         "gs://x.tfrecord", "x.tfrecord\n", "x.txt", "", 3, None)
        ),
        *(
            ({"splits": {"train": [FILE | {name: count}]}}, "and its examples and bytes, from 1")
            for name in ("examples", "bytes")
            for count in (0, -1, 1.0, "1", True, 2**70, None)
        ),
        ({"splits": {"train": [FILE | {"examples": 2**50}]}}, "at least 16 bytes an example"),
    ],
)  # fmt: skip
def test_hostile_descriptions(fields, message, copy, describe):
    describe(**fields)
    with pytest.raises(InputError, match=message) as raised:
        open_splits(copy)
    assert "dataset.json" in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", "[" * 100_000, "\x00", "{'a': 1}", b"\xff\xfe", "9" * 5000]
)
def test_descriptions_that_are_no_json(text, copy):
    content = text if isinstance(text, bytes) else text.encode()
    (copy / "dataset.json").write_bytes(content)
    with pytest.raises(
        InputError, match=r"dataset.json (is not (valid|usable) JSON|must)"
    ) as raised:
        open_splits(copy)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_a_description_that_fills_the_memory(copy, monkeypatch):
    monkeypatch.setattr("keras_poolformer.data.splits.records.MAX_BYTES", 100)
    with pytest.raises(InputError, match="must have at most 100 bytes"):
        open_splits(copy)


# ---------------------------------------------------------------------------------------
# Records that are bytes of another kind, pipes, names


@pytest.fixture
def foreign_record(copy, describe):
    """The first file's second record is no protocol buffer, and no text."""
    file = copy / "train-00000-of-00004.tfrecord"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in [records[0], b"\xff\xfe\x00\x9f" * 5, *records[2:]]:
            writer.write(record)
    splits = json.loads((copy / "dataset.json").read_text(encoding="utf-8"))["splits"]
    splits["train"][0]["bytes"] = file.stat().st_size
    describe(splits=splits)
    return file


def test_a_record_that_is_not_text_is_named(foreign_record, copy):
    """TensorFlow's message quotes it, which Python cannot decode."""
    training, _ = open_splits(copy)
    message = (
        f"1 image of {copy} train cannot be read: record 1 of {foreign_record} (Could not parse"
    )
    assert str(name_broken(training)).startswith(message)
    with pytest.raises(InputError) as raised:
        write_records((training, None), copy.parent / "again")
    assert str(raised.value).startswith(message)
    with pytest.raises(InputError) as raised:
        list(training.examples_for((), len(training.class_names)).pairs)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", ["dataset.json", "train-00000-of-00004.tfrecord"])
def test_pipes_are_refused(name, copy):
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(InputError, match=f"{name} must be a regular file"):
        open_splits(copy)


def test_names_with_characters_of_patterns(tmp_path, write_folder):
    folder = write_folder(tmp_path / "lr=[1e-3]*{a}?", {"train/[b]/1.png": 1, "train/c*/2.png": 2})
    write_records(open_splits(folder), folder / "out[1]")
    training, _ = open_splits(folder / "out[1]")
    assert training.class_names == ("[b]", "c*")
    assert sorted(images(training)) == sorted(p.read_bytes() for p in folder.glob("train/*/*"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xff\xfe", r"must be UTF-8. Received: '\\udcff\\udcfe'"),
        (b"a\x1bb", r"without control characters. Received: 'a\\x1bb'"),
        (b" ", "1 to 1,000 characters .* Received: ' '"),
    ],
)
def test_class_folders_of_other_names_are_refused(name, shown, tmp_path, write_folder):
    """By the rule that `train` and a description follow, before anything is written."""
    write_folder(tmp_path, {f"train/{os.fsdecode(name)}/1.png": 1})
    with pytest.raises(InputError, match=shown):
        open_splits(tmp_path)


@pytest.mark.first(2)
@pytest.mark.parametrize("name", ["no\u00a0break", "日本語", "\u3000ideographic", "é"])
def test_class_folders_that_go_all_the_way(name, tmp_path, write_folder):
    write_folder(tmp_path / "in", {f"{name}/1.png": 1})
    write_records(open_splits(tmp_path / "in"), tmp_path / "out")
    assert open_splits(tmp_path / "out")[0].class_names == (name,)
